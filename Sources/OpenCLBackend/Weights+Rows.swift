import Basics
import OpenCLRuntime
import Tensors

/// Matrices as stored rows, for the GPU family.
extension OpenCLBackend {
  /// The segments of neighbours that share a buffer; of one source in as many buffers as it needs.
  func rowSegments(_ run: [CheckedSource], mode: ComputeMode, column: Int) throws -> [MatrixSegment] {
    guard let source = run.first else { return [] }
    let convert = mode == .bf16 && source.format != .bf16
    let rowBytes = convert ? source.width * 2 : source.rowBytes
    if run.count > 1 {
      let columns = run.reduce(0) { $0 + $1.rows }
      let buffer = try context.makeBuffer(byteCount: columns * rowBytes, pooled: false)
      var row = 0
      for source in run {
        if convert {
          try convertRows(source, 0..<source.rows, into: buffer, at: row)
        } else {
          try deliver(source, rows: 0..<source.rows, to: buffer, at: row * rowBytes)
        }
        row += source.rows
      }
      return [
        MatrixSegment(
          format: convert ? .bf16 : source.format, buffer: buffer, firstColumn: column, columns: columns,
          rowBytes: rowBytes)
      ]
    }
    let limit = max(context.device.maxAllocationBytes / rowBytes, 1)
    var segments: [MatrixSegment] = []
    for first in stride(from: 0, to: source.rows, by: limit) {
      let range = first..<min(first + limit, source.rows)
      let buffer = try convert ? convertRows(source, range) : uploadRows(source, range)
      segments.append(
        MatrixSegment(
          format: convert ? .bf16 : source.format, buffer: buffer, firstColumn: column + first,
          columns: range.count, rowBytes: rowBytes))
    }
    return segments
  }

  private func convertRows(_ source: CheckedSource, _ rows: Range<Int>) throws -> OpenCLBuffer {
    let buffer = try context.makeBuffer(byteCount: rows.count * source.width * 2, pooled: false)
    try convertRows(source, rows, into: buffer, at: 0)
    return buffer
  }

  /// Rounds stored rows to bfloat16, into the rows of `buffer` from `row` on.
  private func convertRows(
    _ source: CheckedSource, _ rows: Range<Int>, into buffer: OpenCLBuffer, at row: Int
  ) throws {
    let kernel = try library.kernel(.matmulTiled, "convert_bf16", source.format.options)
    try forStagedRows(source, rows, step: 1) { staging, piece in
      try launchItems(
        kernel,
        [
          .buffer("rows_in", staging), .ulong("row_bytes", UInt64(source.rowBytes)),
          .buffer("rows_out", buffer), .uint("first_row", UInt32(row + piece.lowerBound - rows.lowerBound)),
          .uint("K", UInt32(source.width)),
        ], (source.width + 7) / 8, piece.count)
    }
  }
}
