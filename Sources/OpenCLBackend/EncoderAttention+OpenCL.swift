import Basics
import OpenCLRuntime
import Synchronization
import Tensors

/// A packed batch as integer buffers on the device.
final class OpenCLPackedBatch: PreparedPackedBatch {
  let packed: PackedBatch
  let tokenIDs: OpenCLBuffer
  let typeIDs: OpenCLBuffer
  let positions: OpenCLBuffer
  let starts: OpenCLBuffer
  /// `[rows, 2]`: first row of each row's sequence, and its end.
  let bounds: OpenCLBuffer
  /// `[blockCount, 3]`: a block's first row, the first row of its sequence, and the sequence's end. Blocks are
  /// ``blockRows`` rows, from the sequence's first row on.
  let blocks: OpenCLBuffer
  let blockCount: Int
  static let blockRows = 16
  /// `[sequences, 2]`: first row of each sequence, and its end.
  let sequenceBounds: OpenCLBuffer
  private let parts = Mutex<[Int: AttentionParts]>([:])
  private let queryBlocks = Mutex<[TileShape: Tiles]>([:])

  /// Queries a row has (heads of a key head's group), and queries in a tile.
  struct TileShape: Hashable {
    let group: Int
    let queries: Int
  }

  /// What each tile has, as the operation's kernel reads it.
  struct Tiles: Sendable {
    let buffer: OpenCLBuffer
    let count: Int
  }

  init(_ packed: PackedBatch, _ backend: OpenCLBackend) throws {
    self.packed = packed
    tokenIDs = try backend.makeBuffer(packed.tokenIDs)
    typeIDs = try backend.makeBuffer(packed.typeIDs)
    positions = try backend.makeBuffer(packed.positions)
    starts = try backend.makeBuffer(packed.starts)
    let pairs = (0..<packed.sequences).flatMap { sequence in
      packed.rows(of: sequence).flatMap { _ in [packed.starts[sequence], packed.starts[sequence + 1]] }
    }
    bounds = try backend.makeBuffer(pairs)
    let blocks = (0..<packed.sequences).flatMap { sequence in
      let rows = packed.rows(of: sequence)
      return stride(from: rows.lowerBound, to: rows.upperBound, by: Self.blockRows).flatMap {
        [Int32($0), Int32(rows.lowerBound), Int32(rows.upperBound)]
      }
    }
    blockCount = blocks.count / 3
    self.blocks = try backend.makeBuffer(blocks)
    sequenceBounds = try backend.makeBuffer(
      (0..<packed.sequences).flatMap { [packed.starts[$0], packed.starts[$0 + 1]] })
  }

  /// How attention in register tiles divides the batch; made once for each number of rows that a part may have.
  func attentionParts(heads: Int, _ backend: OpenCLBackend) throws -> AttentionParts {
    let rows = AttentionParts.rows(packed, heads: heads, backend)
    return try parts.withLock { known in
      if let parts = known[rows] { return parts }
      let made = try AttentionParts(packed, rows: rows, backend)
      known[rows] = made
      return made
    }
  }

  /// `[count, 4]`: a sequence's first row and its end, first query and queries of a tile; made once for each shape.
  func queryBlocks(_ shape: TileShape, _ backend: OpenCLBackend) throws -> Tiles {
    try queryBlocks.withLock { known in
      if let tiles = known[shape] { return tiles }
      var list: [Int32] = []
      for sequence in 0..<packed.sequences {
        let rows = packed.rows(of: sequence)
        let queries = rows.count * shape.group
        for first in stride(from: 0, to: queries, by: shape.queries) {
          list += [
            Int32(rows.lowerBound), Int32(rows.upperBound), Int32(first),
            Int32(min(shape.queries, queries - first)),
          ]
        }
      }
      let tiles = Tiles(buffer: try backend.makeBuffer(list), count: list.count / 4)
      known[shape] = tiles
      return tiles
    }
  }
}

extension OpenCLBackend {
  public func prepare(_ batch: PackedBatch) throws -> any PreparedPackedBatch {
    try OpenCLPackedBatch(batch, self)
  }

  public func embeddingSum(
    words: any EmbeddingTable, positions: any EmbeddingTable, types: (any EmbeddingTable)?,
    _ batch: any PreparedPackedBatch
  ) throws -> Tensor {
    let operation = try EmbeddingSum(words: words, positions: positions, types: types, batch.packed)
    guard let batch = batch as? OpenCLPackedBatch else { throw foreign("batch") }
    let y = try allocate(operation.outputShape, .f32)
    guard operation.rows > 0 else { return y }
    let output = try FloatView(y).buffer
    let lookups =
      [(words, batch.tokenIDs), (positions, batch.positions)] + (types.map { [($0, batch.typeIDs)] } ?? [])
    for (index, (table, ids)) in lookups.enumerated() {
      guard let table = table as? OpenCLTable else { throw foreign("table") }
      let kernel = try library.kernel(.embeddingSum, "embedding_sum", table.format.options)
      for part in table.parts {
        try launchItems(
          kernel,
          [
            .buffer("table", part.buffer), .ulong("row_bytes", UInt64(table.rowBytes)),
            .int("first_row", part.firstRow), .int("part_rows", part.rows), .buffer("ids", ids),
            .buffer("y", output), .uint("width", UInt32(table.width)), .int("add", index == 0 ? 0 : 1),
          ], (table.width + 7) / 8, operation.rows)
      }
    }
    try record(operation)
    return y
  }

  public func encoderAttention(
    query: Tensor, key: Tensor, value: Tensor, heads: Int, scale: Float, causal: Bool, precision: DType,
    wantsLogSumExp: Bool,
    _ batch: any PreparedPackedBatch
  ) throws -> EncoderAttention.Output {
    let operation = try EncoderAttention(
      query: query.shape, key: key.shape, value: value.shape, heads: heads, causal: causal,
      batch: batch.packed)
    guard let batch = batch as? OpenCLPackedBatch else { throw foreign("batch") }
    let y = try allocate(operation.outputShape, .f32)
    let sums = wantsLogSumExp ? try allocate(operation.logSumExpShape, .f32) : nil
    if family == .gpu {
      try attendInBlocks(
        operation, query, key, value, scale: scale, causal: causal, precision: precision, batch, y, sums)
    } else if attendsInTiles(headDim: operation.headDim) {
      try attendInTiles(
        operation, FloatView(query), FloatView(key), FloatView(value), scale: scale, causal: causal, batch, y,
        sums)
    } else {
      try attend(query, key, value, bounds: batch.bounds, heads: heads, scale: scale, causal: causal, y, sums)
    }
    try record(operation)
    return EncoderAttention.Output(output: y, logSumExp: sums)
  }

  public func firstRowAttention(
    query: Tensor, key: Tensor, value: Tensor, heads: Int, scale: Float, _ batch: any PreparedPackedBatch
  ) throws -> Tensor {
    let operation = try FirstRowAttention(
      query: query.shape, key: key.shape, value: value.shape, heads: heads, batch: batch.packed)
    guard let batch = batch as? OpenCLPackedBatch else { throw foreign("batch") }
    let y = try allocate(operation.outputShape, .f32)
    try attend(query, key, value, bounds: batch.sequenceBounds, heads: heads, scale: scale, y, nil)
    try record(operation)
    return y
  }

  /// Every row of `query` against the keys and values between its bounds.
  private func attend(
    _ query: Tensor, _ key: Tensor, _ value: Tensor, bounds: OpenCLBuffer, heads: Int, scale: Float,
    causal: Bool = false, _ y: Tensor, _ sums: Tensor?
  ) throws {
    guard y.rows > 0 else { return }
    let (q, k, v) = (try FloatView(query), try FloatView(key), try FloatView(value))
    let output = try FloatView(y).buffer
    let arguments: [KernelArgument] = [
      .buffer("q", q.buffer), .uint("q_offset", q.offset), .uint("q_stride", q.stride),
      .buffer("k", k.buffer), .uint("k_offset", k.offset), .uint("k_stride", k.stride),
      .buffer("v", v.buffer), .uint("v_offset", v.offset), .uint("v_stride", v.stride),
      .buffer("bounds", bounds), .buffer("y", output),
      // A buffer must be passed where no sums are wanted too; the kernel does not write it.
      .buffer("log_sum_exp", try sums.map { try FloatView($0).buffer } ?? output),
      .int("wants_sums", sums == nil ? 0 : 1), .int("causal", causal ? 1 : 0),
      .uint("heads", UInt32(heads)), .uint("shared", UInt32(query.width / max(1, key.width))),
      .uint("head_dim", UInt32(y.width / heads)), .float("scale", scale),
    ]
    let group = family == .cpu ? 1 : tuned.encoderGroup
    let kernel = try library.kernel(
      .encoderAttention, "encoder_attention",
      "-DVEC=\(family == .cpu ? 16 : 1) -DGROUP=\(group) ")
    try context.launch(
      kernel, arguments, global: (group * heads, y.rows, 1), local: (group, 1, 1), inParts: true)
  }

  public func meanPool(_ x: Tensor, _ batch: any PreparedPackedBatch) throws -> Tensor {
    let operation = try MeanPool(x.shape, batch: batch.packed)
    guard let batch = batch as? OpenCLPackedBatch else { throw foreign("batch") }
    let input = try FloatView(x)
    let y = try allocate(operation.outputShape, .f32)
    guard operation.sequences > 0 else { return y }
    try launchColumns(
      try rowKernel(.meanPool, "mean_pool", at: input.places, width: operation.width),
      [
        .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
        .buffer("starts", batch.starts), .buffer("y", try FloatView(y).buffer),
        .uint("width", UInt32(operation.width)),
      ], strips(operation.width), operation.sequences)
    try record(operation)
    return y
  }
}
