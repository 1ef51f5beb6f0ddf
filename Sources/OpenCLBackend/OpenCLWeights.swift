import Basics
import OpenCLRuntime
import Tensors

/// Consecutive output columns of a matrix in one buffer.
struct MatrixSegment: Sendable {
  let format: WeightFormat
  let buffer: OpenCLBuffer
  let firstColumn: Int
  let columns: Int
  /// Bytes between stored rows; unused in panels and int8.
  let rowBytes: Int
  /// Passes over the rows of x in int8: two where activations have 15 bits.
  var passes = 1
}

/// A matrix as panels (CPU family) or stored rows (GPU family), in as many buffers as types and limits ask for.
final class OpenCLMatrix: MatrixWeight {
  let inputWidth: Int
  let outputWidth: Int
  let segments: [MatrixSegment]
  /// Loaded in mode `f32`: no kernel may round its operands to fewer bits.
  let isExact: Bool
  /// Loaded in mode `int8`: rows of x are quantised before they are multiplied.
  var isInt8: Bool { segments.first?.format == .int8 }
  let byteCount: Int

  init(inputWidth: Int, outputWidth: Int, segments: [MatrixSegment], isExact: Bool) {
    self.inputWidth = inputWidth
    self.outputWidth = outputWidth
    self.segments = segments
    self.isExact = isExact
    byteCount = segments.reduce(0) { $0 + $1.buffer.byteCount }
  }
}

/// A look-up table as stored, in as many buffers as the device's largest allocation asks for.
final class OpenCLTable: EmbeddingTable {
  struct Part: Sendable {
    let buffer: OpenCLBuffer
    let firstRow: Int
    let rows: Int
  }

  let rows: Int
  let width: Int
  let format: WeightFormat
  let rowBytes: Int
  let parts: [Part]

  init(rows: Int, width: Int, format: WeightFormat, rowBytes: Int, parts: [Part]) {
    self.rows = rows
    self.width = width
    self.format = format
    self.rowBytes = rowBytes
    self.parts = parts
  }
}

/// A weight source whose shape, type and bytes agree.
struct CheckedSource {
  let source: WeightSource
  let format: WeightFormat
  let rows: Int
  let width: Int
  let rowBytes: Int

  /// - Throws: `shapeMismatch`, `unsupported` or `malformedFile` naming the file and the tensor.
  init(_ source: WeightSource, rank: Int) throws {
    let shape = source.shape
    guard shape.rank == rank, let count = shape.checkedCount, count > 0 else {
      throw Self.failure(.shapeMismatch, source, "shape \(shape) is not of rank \(rank) and not empty")
    }
    rows = rank == 2 ? shape[0] : 1
    width = shape[rank - 1]
    guard let rowBytes = source.dtype.byteCount(elements: width), width <= Int(Int32.max),
      rows <= Int(Int32.max)
    else {
      throw Self.failure(
        .malformedFile, source, "rows of \(width) are not whole \(source.dtype.rawValue) blocks")
    }
    let (total, overflow) = rowBytes.multipliedReportingOverflow(by: rows)
    guard !overflow, source.random != nil || source.bytes().count >= total else {
      throw Self.failure(.malformedFile, source, "the file ends before the tensor does")
    }
    format = try WeightFormat(source.dtype, name: source.name)
    self.rowBytes = rowBytes
    self.source = source
  }

  private static func failure(_ code: RetortError.Code, _ source: WeightSource, _ message: String)
    -> RetortError
  {
    RetortError(
      code, message, file: source.file, field: source.name,
      remedy: "Download the model again, or use another file.")
  }

  /// Bytes of the rows `range`.
  func bytes(rows range: Range<Int>) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(
      rebasing: source.bytes()[(range.lowerBound * rowBytes)..<(range.upperBound * rowBytes)])
  }
}
