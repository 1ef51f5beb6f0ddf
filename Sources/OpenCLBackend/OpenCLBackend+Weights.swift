import Basics
import OpenCLRuntime
import Tensors

extension OpenCLBackend {
  /// Bytes of stored rows that are on the device at once while they are repacked.
  private static let stagingBytes = 8 << 20

  public func loadVector(_ parts: [WeightSource]) throws -> Tensor {
    let sources = try parts.map { try CheckedSource($0, rank: 1) }
    let width = sources.reduce(0) { $0 + $1.width }
    let tensor = try allocate([width], .f32)
    let view = try FloatView(tensor)
    let id = try makeBuffer([Int32(0)])
    var offset = 0
    for source in sources {
      let staging = try context.makeBuffer(byteCount: source.rowBytes)
      try context.write(source.bytes(rows: 0..<1), to: staging)
      try lookUp(
        staging, format: source.format, rowBytes: source.rowBytes, first: 0, count: 1, ids: id, rows: 1,
        into: view.buffer, at: offset, width: source.width)
      offset += source.width
      source.source.release()
    }
    return tensor
  }

  public func loadTable(_ source: WeightSource) throws -> any EmbeddingTable {
    let checked = try CheckedSource(source, rank: 2)
    let limit = max(context.device.maxAllocationBytes / checked.rowBytes, 1)
    var parts: [OpenCLTable.Part] = []
    for first in stride(from: 0, to: checked.rows, by: limit) {
      let range = first..<min(first + limit, checked.rows)
      parts.append(
        OpenCLTable.Part(buffer: try uploadRows(checked, range), firstRow: first, rows: range.count))
    }
    source.release()
    return OpenCLTable(
      rows: checked.rows, width: checked.width, format: checked.format, rowBytes: checked.rowBytes,
      parts: parts)
  }

  public func loadMatrix(_ parts: [WeightSource], compute: ComputeMode) throws -> any MatrixWeight {
    let sources = try parts.map { try CheckedSource($0, rank: 2) }
    guard let first = sources.first, sources.allSatisfy({ $0.width == first.width }) else {
      throw RetortError(
        .shapeMismatch, "stacked matrices of different input widths: \(parts.map(\.name))",
        file: parts.first?.file, remedy: "Check that the file is one of the named architecture.")
    }
    guard compute != .int8 else {
      throw RetortError(
        .unsupported, "int8 products run on the CPU backend only", field: "compute",
        remedy: "Use --backend cpu, or --compute bf16 or lean.")
    }
    var mode = compute
    if mode == .auto {
      let copy = sources.reduce(0) { $0 + $1.rows * $1.width * 2 }
      mode = context.memoryUse.liveBytes + copy <= context.device.memoryBytes / 2 ? .bf16 : .lean
    }
    var segments: [MatrixSegment] = []
    var column = 0
    for source in sources {
      segments +=
        try family == .cpu
        ? panelSegments(source, mode: mode, column: column) : rowSegments(source, mode: mode, column: column)
      column += source.rows
      source.source.release()
    }
    return OpenCLMatrix(inputWidth: first.width, outputWidth: column, segments: segments)
  }

  /// Uploads stored rows in pieces, so that small copies never pile up.
  private func uploadRows(_ source: CheckedSource, _ range: Range<Int>) throws -> OpenCLBuffer {
    let buffer = try context.makeBuffer(byteCount: range.count * source.rowBytes, pooled: false)
    try context.write(source.bytes(rows: range), to: buffer)
    return buffer
  }

  // MARK: CPU family

  private func panelSegments(_ source: CheckedSource, mode: ComputeMode, column: Int) throws
    -> [MatrixSegment]
  {
    let format: WeightFormat =
      switch mode {
      case .f32: .f32
      case .bf16: .bf16
      case .auto, .int8, .lean: source.format
      }
    let panelBytes = format.panelBytes(source.width)
    let limit = context.device.maxAllocationBytes / panelBytes * 32
    guard limit > 0 else {
      throw RetortError(
        .outOfMemory, "32 columns need \(panelBytes) bytes, more than the device's largest allocation",
        file: source.source.file, field: source.source.name, remedy: "Use another device.")
    }
    let kernel = try packKernel(from: source.format, to: format)
    var segments: [MatrixSegment] = []
    for first in stride(from: 0, to: source.rows, by: limit) {
      let count = min(limit, source.rows - first)
      let buffer = try context.makeBuffer(byteCount: (count + 31) / 32 * panelBytes, pooled: false)
      try pack(source, rows: first..<(first + count), into: buffer, format: format, kernel)
      segments.append(
        MatrixSegment(
          format: format, buffer: buffer, firstColumn: column + first, columns: count, rowBytes: 0))
    }
    return segments
  }

  private func packKernel(from source: WeightFormat, to format: WeightFormat) throws -> OpenCLKernel {
    let name =
      switch format {
      case .f32: "pack_f32"
      case .bf16: "pack_bf16"
      case .f16: "pack_f16"
      default: "pack_blocks"
      }
    return try library.kernel([.blockFormats, .lanes, .panelFormats, .packPanels], name, source.options)
  }

  private func pack(
    _ source: CheckedSource, rows: Range<Int>, into buffer: OpenCLBuffer, format: WeightFormat,
    _ kernel: OpenCLKernel
  ) throws {
    let step = max(Self.stagingBytes / source.rowBytes / 32, 1) * 32
    let items =
      format.isQuantized ? source.width / format.blockElements : (source.width + 31) / 32
    for first in stride(from: rows.lowerBound, to: rows.upperBound, by: step) {
      let range = first..<min(first + step, rows.upperBound)
      let staging = try context.makeBuffer(byteCount: range.count * source.rowBytes)
      try context.write(source.bytes(rows: range), to: staging)
      try launchItems(
        kernel,
        [
          .buffer("rows_in", staging), .ulong("row_bytes", UInt64(source.rowBytes)),
          .int("row_count", range.count), .buffer("panels", buffer),
          .int("first_panel", (first - rows.lowerBound) / 32), .uint("K", UInt32(source.width)),
        ], items, (range.count + 31) / 32)
    }
  }

  // MARK: GPU family

  private func rowSegments(_ source: CheckedSource, mode: ComputeMode, column: Int) throws -> [MatrixSegment]
  {
    let convert = mode == .bf16 && source.format != .bf16
    let rowBytes = convert ? source.width * 2 : source.rowBytes
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
    let kernel = try library.kernel([.blockFormats, .matmulTiled], "convert_bf16", source.format.options)
    let buffer = try context.makeBuffer(byteCount: rows.count * source.width * 2, pooled: false)
    let step = max(Self.stagingBytes / source.rowBytes, 1)
    for first in stride(from: rows.lowerBound, to: rows.upperBound, by: step) {
      let range = first..<min(first + step, rows.upperBound)
      let staging = try context.makeBuffer(byteCount: range.count * source.rowBytes)
      try context.write(source.bytes(rows: range), to: staging)
      try launchItems(
        kernel,
        [
          .buffer("rows_in", staging), .ulong("row_bytes", UInt64(source.rowBytes)),
          .buffer("rows_out", buffer), .uint("first_row", UInt32(first - rows.lowerBound)),
          .uint("K", UInt32(source.width)),
        ], (source.width + 7) / 8, range.count)
    }
    return buffer
  }
}
