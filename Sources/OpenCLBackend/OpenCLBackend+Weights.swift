import Basics
import OpenCLRuntime
import Tensors

extension OpenCLBackend {
  /// Bytes of stored rows that are on the device at once while they are repacked.
  static let stagingBytes = 8 << 20

  public func loadVector(_ parts: [WeightSource]) throws -> Tensor {
    try context.unprofiled { try storeVector(parts) }
  }

  private func storeVector(_ parts: [WeightSource]) throws -> Tensor {
    let sources = try parts.map { try CheckedSource($0, rank: 1) }
    let width = sources.reduce(0) { $0 + $1.width }
    let tensor = try allocate([width], .f32)
    let view = try FloatView(tensor)
    let id = try makeBuffer([Int32(0)])
    var offset = 0
    for source in sources {
      let staging = try context.makeBuffer(byteCount: source.rowBytes)
      try deliver(source, rows: 0..<1, to: staging)
      try lookUp(
        staging, format: source.format, rowBytes: source.rowBytes, first: 0, count: 1, ids: id, rows: 1,
        into: view.buffer, at: offset, width: source.width)
      offset += source.width
      source.source.release()
    }
    return tensor
  }

  public func loadTable(_ source: WeightSource) throws -> any EmbeddingTable {
    try context.unprofiled { try storeTable(source) }
  }

  private func storeTable(_ source: WeightSource) throws -> any EmbeddingTable {
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
    try context.unprofiled { try storeMatrix(parts, compute: compute) }
  }

  private func storeMatrix(_ parts: [WeightSource], compute: ComputeMode) throws -> any MatrixWeight {
    let sources = try parts.map { try CheckedSource($0, rank: 2) }
    guard let first = sources.first, sources.allSatisfy({ $0.width == first.width }) else {
      throw RetortError(
        .shapeMismatch, "stacked matrices of different input widths: \(parts.map(\.name))",
        file: parts.first?.file, remedy: "Check that the file is one of the named architecture.")
    }
    var mode = compute
    if mode == .auto {
      let copy = sources.reduce(0) { $0 + $1.rows * $1.width * 2 }
      mode = context.memoryUse.liveBytes + copy <= context.device.memoryBytes / 2 ? .bf16 : .lean
    }
    var segments: [MatrixSegment] = []
    var column = 0
    for run in runs(sources, mode: mode) {
      switch (family, mode) {
      case (.cpu, _): segments += try panelSegments(run, mode: mode, column: column)
      case (.gpu, .int8): segments += try int8Segments(run, column: column)
      case (.gpu, _): segments += try rowSegments(run, mode: mode, column: column)
      }
      column += run.reduce(0) { $0 + $1.rows }
      for source in run { source.source.release() }
    }
    return OpenCLMatrix(
      inputWidth: first.width, outputWidth: column, segments: segments, isExact: mode == .f32)
  }

  /// Neighbours that share a buffer, and so a launch: of one type or, where all are requantised, one precision of
  /// activations, in whole panels, together within the device's largest allocation even where they are kept in
  /// Float32.
  private func runs(_ sources: [CheckedSource], mode: ComputeMode) -> [[CheckedSource]] {
    func match(_ a: CheckedSource, _ b: CheckedSource) -> Bool {
      mode == .int8 ? a.isFineInInt8 == b.isFineInInt8 : a.format == b.format
    }
    var runs: [[CheckedSource]] = []
    for source in sources {
      let last = runs.last ?? []
      let rows = last.reduce(source.rows) { $0 + $1.rows }
      let (bytes, overflow) = rows.multipliedReportingOverflow(by: source.width * 4)
      let fits = !overflow && bytes <= context.device.maxAllocationBytes
      if fits, let before = last.last, match(before, source), before.rows % 32 == 0 {
        runs[runs.count - 1].append(source)
      } else {
        runs.append([source])
      }
    }
    return runs
  }

  /// Uploads stored rows.
  func uploadRows(_ source: CheckedSource, _ range: Range<Int>) throws -> OpenCLBuffer {
    let buffer = try context.makeBuffer(byteCount: range.count * source.rowBytes, pooled: false)
    try deliver(source, rows: range, to: buffer)
    return buffer
  }
}
