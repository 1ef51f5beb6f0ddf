import Basics
import OpenCLRuntime
import Synchronization
import Tensors

/// Batch metadata as integer buffers on the device.
final class OpenCLBatch: PreparedBatch {
  let metadata: BatchMetadata
  let tokenIDs: OpenCLBuffer
  let positions: OpenCLBuffer
  /// `block · blockSize + place` of every row.
  let slots: OpenCLBuffer
  let tables: OpenCLBuffer
  private let plans = Mutex<[PlanKey: SplitPlan]>([:])

  private struct PlanKey: Hashable {
    let group: Int
    let kvHeads: Int
    let shape: AttentionShape
  }

  /// An ``AttentionPlan`` on the device.
  struct SplitPlan: Sendable {
    let rows: OpenCLBuffer
    let segments: OpenCLBuffer
    let merges: OpenCLBuffer
    let mergeCount: Int
    let slots: Int
    let launches: [(launch: AttentionPlan.Launch, items: OpenCLBuffer, count: Int)]
  }

  init(_ batch: BatchMetadata, _ backend: OpenCLBackend) throws {
    metadata = batch
    var slots: [Int32] = []
    var tables: [Int32] = []
    slots.reserveCapacity(batch.rows)
    for slice in batch.sequences {
      tables += slice.blockTable
      for position in (slice.contextLength - slice.rowCount)..<slice.contextLength {
        let block = Int(slice.blockTable[position / batch.blockSize])
        let (slot, overflow) = block.multipliedReportingOverflow(by: batch.blockSize)
        guard !overflow, let place = Int32(exactly: slot + position % batch.blockSize), place >= 0 else {
          throw RetortError(
            .invalidArgument, "block \(block) lies beyond 2³¹ tokens",
            remedy: "Use a smaller KV cache.")
        }
        slots.append(place)
      }
    }
    tokenIDs = try backend.makeBuffer(batch.tokenIDs)
    positions = try backend.makeBuffer(batch.positions)
    self.slots = try backend.makeBuffer(slots)
    self.tables = try backend.makeBuffer(tables)
  }

  /// Who computes what of the attention; made once for each shape.
  func plan(group: Int, kvHeads: Int, _ shape: AttentionShape, _ backend: OpenCLBackend) throws -> SplitPlan {
    try plans.withLock { known in
      let key = PlanKey(group: group, kvHeads: kvHeads, shape: shape)
      if let plan = known[key] { return plan }
      let starts = metadata.sequences.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.blockTable.count) }
      let made = AttentionPlan(metadata, tables: starts, group: group, kvHeads: kvHeads, shape: shape)
      let launches = try made.items.sorted { $0.key.queries > $1.key.queries }.map {
        (launch: $0.key, items: try backend.makeBuffer($0.value), count: $0.value.count / 5)
      }
      let plan = SplitPlan(
        rows: try backend.makeBuffer(made.rows), segments: try backend.makeBuffer(made.segments),
        merges: try backend.makeBuffer(made.merges), mergeCount: made.merges.count / 3, slots: made.slots,
        launches: launches)
      known[key] = plan
      return plan
    }
  }
}

extension OpenCLBackend {
  public func prepare(_ batch: BatchMetadata) throws -> any PreparedBatch { try OpenCLBatch(batch, self) }

  public func embedding(_ table: any EmbeddingTable, _ batch: any PreparedBatch) throws -> Tensor {
    let operation = try Embedding(table: table, ids: batch.metadata.tokenIDs)
    guard let table = table as? OpenCLTable else { throw foreign("table") }
    guard let batch = batch as? OpenCLBatch else { throw foreign("batch") }
    let y = try allocate(operation.outputShape, .f32)
    let output = try FloatView(y)
    for part in table.parts {
      try lookUp(
        part.buffer, format: table.format, rowBytes: table.rowBytes, first: part.firstRow, count: part.rows,
        ids: batch.tokenIDs, rows: operation.rows, into: output.buffer, at: 0, width: table.width)
    }
    try record(operation)
    return y
  }

  /// Widens the rows `ids` of a stored table part into `output`.
  func lookUp(
    _ table: OpenCLBuffer, format: WeightFormat, rowBytes: Int, first: Int, count: Int, ids: OpenCLBuffer,
    rows: Int, into output: OpenCLBuffer, at offset: Int, width: Int
  ) throws {
    let kernel = try library.kernel(.embedding, "embedding", format.options)
    try launchItems(
      kernel,
      [
        .buffer("table", table), .ulong("row_bytes", UInt64(rowBytes)), .int("first_row", first),
        .int("part_rows", count), .buffer("token_ids", ids), .buffer("y", output),
        .uint("y_offset", UInt32(offset)), .uint("width", UInt32(width)),
      ], (width + 7) / 8, rows)
  }
}
