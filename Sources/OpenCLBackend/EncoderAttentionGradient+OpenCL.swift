import Basics
import OpenCLRuntime
import Tensors

extension OpenCLBackend {
  /// The gradient of attention's queries, keys and values, in this order in one tensor of
  /// `[rows, (heads + 2 · kvHeads) · headDim]`, from its output's; `logSumExp` is the forward's. Products are in
  /// Float32 whatever the precision, except where tensor cores multiply operands rounded to bfloat16.
  ///
  /// One pass over the blocks of queries and one over those of keys, so that no sum needs an atomic operation.
  ///
  /// - Throws: `shapeMismatch` for operands that do not fit or belong to another backend, and what the device
  ///   reports.
  public func encoderAttentionGradient(
    _ gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor, logSumExp: Tensor,
    heads: Int, scale: Float, causal: Bool, precision: DType, _ batch: any PreparedPackedBatch
  ) throws -> Tensor {
    let forward = try EncoderAttention(
      query: query.shape, key: key.shape, value: value.shape, heads: heads, causal: causal,
      batch: batch.packed)
    let operation = try EncoderAttentionGradient(
      gradient: gradient.shape, output: output.shape, logSumExp: logSumExp.shape, forward)
    guard let batch = batch as? OpenCLPackedBatch else { throw foreign("batch") }
    let (q, k, v) = (try FloatView(query), try FloatView(key), try FloatView(value))
    let (g, o, sums) = (try FloatView(gradient), try FloatView(output), try FloatView(logSumExp))
    let joint = try allocate(operation.outputShape, .f32)
    guard forward.rows > 0 else { return joint }
    let operands = AttentionGradientOperands(query: q, key: k, value: v, gradient: g, output: o, sums: sums)
    if attendsOnWarps(headDim: forward.headDim, precision) {
      try attentionGradientOnWarps(forward, operands, scale: scale, causal: causal, batch, joint)
    } else if attendsInTiles(headDim: forward.headDim) {
      try attentionGradientInTiles(forward, operands, scale: scale, causal: causal, batch, joint)
    } else {
      try attentionGradientInBlocks(forward, operands, scale: scale, causal: causal, batch, joint)
    }
    try record(operation)
    return joint
  }

  /// The portable kernels of GPU-class devices, and of CPU-class ones for heads that are not whole register tiles.
  private func attentionGradientInBlocks(
    _ forward: EncoderAttention, _ operands: AttentionGradientOperands, scale: Float, causal: Bool,
    _ batch: OpenCLPackedBatch, _ joint: Tensor
  ) throws {
    let (q, k, v) = (operands.query, operands.key, operands.value)
    let (g, o, sums) = (operands.gradient, operands.output, operands.sums)
    let heads = forward.heads
    let products = try FloatView(try allocate(forward.logSumExpShape, .f32)).buffer

    // Four tiles of rows fit the 32 KB of local memory that every device has.
    let tile = forward.headDim <= 96 ? 16 : 8
    let options: KernelOptions = "-DVEC=1 -DTILE=\(tile) -DDIM=\(forward.headDim) "
    func kernel(_ name: StaticString) throws -> OpenCLKernel {
      try library.kernel(.encoderAttentionGradient, name, options)
    }
    try launchItems(
      try kernel("encoder_attention_products"),
      [
        .buffer("gradient", g.buffer), .uint("gradient_offset", g.offset), .uint("gradient_stride", g.stride),
        .buffer("output", o.buffer), .uint("output_offset", o.offset), .uint("output_stride", o.stride),
        .buffer("products", products), .uint("heads", UInt32(heads)),
      ], heads, forward.rows)
    let arguments: [KernelArgument] = [
      .buffer("q", q.buffer), .uint("q_offset", q.offset), .uint("q_stride", q.stride),
      .buffer("k", k.buffer), .uint("k_offset", k.offset), .uint("k_stride", k.stride),
      .buffer("v", v.buffer), .uint("v_offset", v.offset), .uint("v_stride", v.stride),
      .buffer("gradient", g.buffer), .uint("gradient_offset", g.offset), .uint("gradient_stride", g.stride),
      .buffer("sums", sums.buffer), .uint("sums_offset", sums.offset), .uint("sums_stride", sums.stride),
      .buffer("products", products), .buffer("blocks", batch.blocks),
      .buffer("result", try FloatView(joint).buffer), .uint("heads", UInt32(heads)),
      .uint("shared", UInt32(heads / forward.kvHeads)), .int("causal", causal ? 1 : 0),
      .float("scale", scale),
    ]
    let parts = OpenCLPackedBatch.blockRows / tile
    let passes: [(name: StaticString, count: Int)] = [
      ("encoder_attention_query_gradient", heads), ("encoder_attention_key_gradient", forward.kvHeads),
    ]
    for (name, count) in passes {
      try context.launch(
        try kernel(name), arguments, global: (tile * count, tile * batch.blockCount, parts),
        local: (tile, tile, 1))
    }
  }
}
