import Basics
import OpenCLRuntime
import Tensors

/// Matrices in panels, for the CPU family.
extension OpenCLBackend {
  /// The segments of neighbours that share a buffer, of which all but the last have whole panels; of one source in
  /// as many buffers as it needs.
  func panelSegments(_ run: [CheckedSource], mode: ComputeMode, column: Int) throws -> [MatrixSegment] {
    guard let source = run.first else { return [] }
    let format: WeightFormat =
      switch mode {
      case .f32: .f32
      case .bf16: .bf16
      case .int8: .int8
      case .auto, .lean: source.format
      }
    let passes = mode == .int8 && source.isFineInInt8 ? 2 : 1
    let panelBytes = format.panelBytes(source.width)
    let limit = context.device.maxAllocationBytes / panelBytes * 32
    guard limit > 0 else {
      throw RetortError(
        .outOfMemory, "32 columns need \(panelBytes) bytes, more than the device's largest allocation",
        file: source.source.file, field: source.source.name, remedy: "Use another device.")
    }
    if run.count > 1 {
      let columns = run.reduce(0) { $0 + $1.rows }
      let buffer = try context.makeBuffer(byteCount: (columns + 31) / 32 * panelBytes, pooled: false)
      var first = 0
      for source in run {
        try pack(source, rows: 0..<source.rows, into: buffer, panel: first / 32, format: format)
        first += source.rows
      }
      return [
        MatrixSegment(
          format: format, buffer: buffer, firstColumn: column, columns: columns, rowBytes: 0, passes: passes)
      ]
    }
    var segments: [MatrixSegment] = []
    for first in stride(from: 0, to: source.rows, by: limit) {
      let count = min(limit, source.rows - first)
      let buffer = try context.makeBuffer(byteCount: (count + 31) / 32 * panelBytes, pooled: false)
      try pack(source, rows: first..<(first + count), into: buffer, panel: 0, format: format)
      segments.append(
        MatrixSegment(
          format: format, buffer: buffer, firstColumn: column + first, columns: count, rowBytes: 0,
          passes: passes))
    }
    return segments
  }

  private func packKernel(from source: WeightFormat, to format: WeightFormat) throws -> OpenCLKernel {
    let name: StaticString =
      switch format {
      case .f32: "pack_f32"
      case .bf16: "pack_bf16"
      case .f16: "pack_f16"
      case .int8: "pack_int8"
      default: "pack_blocks"
      }
    return try library.kernel(.packPanels, name, source.options)
  }

  private func pack(
    _ source: CheckedSource, rows: Range<Int>, into buffer: OpenCLBuffer, panel: Int, format: WeightFormat
  ) throws {
    let kernel = try packKernel(from: source.format, to: format)
    let items =
      format.isQuantized
      ? (source.width + format.blockElements - 1) / format.blockElements : (source.width + 31) / 32
    try forStagedRows(source, rows, step: 32) { staging, piece in
      try launchItems(
        kernel,
        [
          .buffer("rows_in", staging), .ulong("row_bytes", UInt64(source.rowBytes)),
          .int("row_count", piece.count), .buffer("panels", buffer),
          .int("first_panel", panel + (piece.lowerBound - rows.lowerBound) / 32),
          .uint("K", UInt32(source.width)),
        ], items, (piece.count + 31) / 32)
    }
  }
}
