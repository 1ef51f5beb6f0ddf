import Basics
import OpenCLRuntime
import Tensors

extension CheckedSource {
  /// Whether the activations that meet this matrix in mode `int8` have 15 bits, in two passes.
  ///
  /// As on the CPU backend: keys and values have; queries, which are marked too, are as many as inputs and cost more
  /// than they bring in a mode that is there for speed.
  var isFineInInt8: Bool { source.needsFineActivations && rows < width }
}

/// Matrices requantised to int8, for the GPU family (int8_groups.opencl).
extension OpenCLBackend {
  /// The segments of neighbours that share a buffer; of one source in as many buffers as it needs.
  func int8Segments(_ run: [CheckedSource], column: Int) throws -> [MatrixSegment] {
    guard let source = run.first else { return [] }
    let groups = (source.width + 63) / 64
    let passes = source.isFineInInt8 ? 2 : 1
    func segment(_ columns: Int, first: Int, _ parts: [(CheckedSource, Range<Int>)]) throws -> MatrixSegment {
      let bytes = groups * (columns * 64 + (columns + 3) / 4 * 16)
      let buffer = try context.makeBuffer(byteCount: bytes, pooled: false)
      var row = 0
      for (source, range) in parts {
        try quantize(source, range, into: buffer, at: row, of: columns)
        row += range.count
      }
      return MatrixSegment(
        format: .int8, buffer: buffer, firstColumn: column + first, columns: columns, rowBytes: 0,
        passes: passes)
    }
    if run.count > 1 {
      let columns = run.reduce(0) { $0 + $1.rows }
      return [try segment(columns, first: 0, run.map { ($0, 0..<$0.rows) })]
    }
    // Codes and scales of a column; of scales there may be up to three too many.
    let limit = max(context.device.maxAllocationBytes / (groups * 68) - 3, 1)
    return try stride(from: 0, to: source.rows, by: limit).map { first in
      let range = first..<min(first + limit, source.rows)
      return try segment(range.count, first: first, [(source, range)])
    }
  }

  /// Quantises stored rows into the rows of a matrix of `columns` outputs, from `row` on.
  private func quantize(
    _ source: CheckedSource, _ rows: Range<Int>, into buffer: OpenCLBuffer, at row: Int, of columns: Int
  ) throws {
    let kernel = try library.kernel(.quantizeInt8, "quantize_weights", source.format.options)
    try forStagedRows(source, rows, step: 1) { staging, piece in
      try launchItems(
        kernel,
        [
          .buffer("rows_in", staging), .ulong("row_bytes", UInt64(source.rowBytes)),
          .buffer("weights", buffer),
          .uint("first_row", UInt32(row + piece.lowerBound - rows.lowerBound)),
          .uint("K", UInt32(source.width)), .uint("N", UInt32(columns)),
        ], (source.width + 63) / 64, piece.count)
    }
  }
}
