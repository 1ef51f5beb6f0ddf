import Basics
import OpenCLRuntime
import Tensors

extension OpenCLBackend {
  /// Encoder attention on GPU-class devices: tiles of queries against tiles of keys and values in local memory, on
  /// tensor cores where `precision` lets them.
  func attendInBlocks(
    _ operation: EncoderAttention, _ query: Tensor, _ key: Tensor, _ value: Tensor, scale: Float,
    causal: Bool, precision: DType, _ batch: OpenCLPackedBatch, _ y: Tensor, _ sums: Tensor?
  ) throws {
    guard operation.rows > 0 else { return }
    let (q, k, v) = (try FloatView(query), try FloatView(key), try FloatView(value))
    let output = try FloatView(y).buffer
    let shared = operation.heads / operation.kvHeads
    let (kernel, queries, items) =
      try attendsOnWarps(headDim: operation.headDim, precision)
      ? warpBlocks(operation, q, k, v) : portableBlocks(operation, k, v)
    let tiles = try batch.queryBlocks(.init(group: shared, queries: queries), self)
    try context.launch(
      kernel,
      [
        .buffer("q", q.buffer), .uint("q_offset", q.offset), .uint("q_stride", q.stride),
        .buffer("k", k.buffer), .uint("k_offset", k.offset), .uint("k_stride", k.stride),
        .buffer("v", v.buffer), .uint("v_offset", v.offset), .uint("v_stride", v.stride),
        .buffer("items", tiles.buffer), .buffer("y", output),
        // A buffer must be passed where no sums are wanted too; the kernel does not write it.
        .buffer("log_sum_exp", try sums.map { try FloatView($0).buffer } ?? output),
        .int("wants_sums", sums == nil ? 0 : 1), .int("causal", causal ? 1 : 0),
        .uint("heads", UInt32(operation.heads)), .uint("shared", UInt32(shared)), .float("scale", scale),
      ], global: (items * operation.kvHeads, tiles.count, 1), local: (items, 1, 1))
  }

  private typealias Blocks = (kernel: OpenCLKernel, queries: Int, items: Int)

  private func portableBlocks(
    _ operation: EncoderAttention, _ k: FloatView, _ v: FloatView
  ) throws -> Blocks {
    let shape = AttentionShape.portable(
      headDim: operation.headDim, group: operation.heads / operation.kvHeads,
      localMemoryBytes: context.device.localMemoryBytes, computeUnits: device.computeUnits,
      tuned: tuned.attention)
    // Loads of four floats need rows that start at multiples of four.
    let aligned = [k, v].allSatisfy { $0.offset % 4 == 0 && $0.stride % 4 == 0 }
    let kernel = try library.kernel(
      .encoderAttentionBlocks, "encoder_attention_blocks",
      "-DVEC=1 -DDIM=\(operation.headDim) -DTILE_ALIGNED=\(aligned ? 1 : 0) "
        + tileOptions + shape.options(queries: shape.wideQueries))
    return (kernel, shape.wideQueries, shape.items)
  }

  private func warpBlocks(
    _ operation: EncoderAttention, _ q: FloatView, _ k: FloatView, _ v: FloatView
  ) throws -> Blocks {
    let shape = tuned.warps.encoder.attention(headDim: operation.headDim)
    let options = warpAttentionOptions(headDim: operation.headDim, [q, k, v]) + shape.options
    return (
      try library.kernel(.encoderAttentionMMA, "encoder_attention_mma", options), shape.queries, shape.items
    )
  }
}
