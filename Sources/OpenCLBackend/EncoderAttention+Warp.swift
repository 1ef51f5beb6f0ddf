import Basics
import OpenCLRuntime
import Tensors

/// Launch shapes of the encoder's attention on tensor cores; `KEYS` decides a result's bits, the rest only the speed.
///
/// Heads of more than ``tunedHeadDim`` numbers fill the registers and local memory of one shape, which they all have.
struct EncoderWarpShapes {
  static let tunedHeadDim = 64
  /// Sizes of heads with values of their own in the gradient: up to 32, and up to ``tunedHeadDim``.
  static let gradientClasses = ["narrow", "wide"]
  private static let large = KernelParameters(["KEYS": 32, "QUERIES": 64])
  private static let largeGradient = KernelParameters(["TILE": 16, "WARPS": 4])

  /// Of encoder_attention_mma.
  private let forward: KernelParameters
  /// Of encoder_attention_gradient_mma, by `gradientClasses`.
  private let gradient: [KernelParameters]

  init(_ tuning: Tuning) {
    forward = tuning[.encoderAttentionWarp]
    gradient = Self.gradientClasses.map { tuning[.encoderAttentionGradientWarp, $0] }
  }

  /// Whether there are kernels for heads of this size.
  static func take(headDim: Int) -> Bool { headDim % 16 == 0 && headDim <= 128 }

  /// Queries of a group, its items, and the options of the kernel.
  func attention(headDim: Int) -> (queries: Int, items: Int, options: KernelOptions) {
    let chosen = headDim > Self.tunedHeadDim ? Self.large : forward
    return (chosen["QUERIES"], 2 * chosen["QUERIES"], chosen.options)
  }

  /// Queries or keys of a group, its items, and the options of the kernels.
  func gradient(headDim: Int) -> (rows: Int, items: Int, options: KernelOptions) {
    let chosen = headDim > Self.tunedHeadDim ? Self.largeGradient : gradient[headDim > 32 ? 1 : 0]
    return (16 * chosen["WARPS"], 32 * chosen["WARPS"], chosen.options)
  }
}

/// Attention of packed batches in bfloat16 on tensor cores, for the GPU family where a warp's instructions exist.
extension OpenCLBackend {
  /// Whether attention in `precision` over heads of this size runs on tensor cores.
  func attendsOnWarps(headDim: Int, _ precision: DType) -> Bool {
    multipliesOnWarps(precision) && EncoderWarpShapes.take(headDim: headDim)
  }

  /// Options that both directions share. Loads of four floats need rows that start at multiples of four.
  func warpAttentionOptions(headDim: Int, _ operands: [FloatView]) -> KernelOptions {
    let aligned = operands.allSatisfy { $0.offset % 4 == 0 && $0.stride % 4 == 0 }
    return warpOptions + "-DDIM=\(headDim) -DROWS_ALIGNED=\(aligned ? 1 : 0) "
  }

  /// The gradients of queries, keys and values side by side in `joint`: one launch for the queries', which leaves the
  /// products of gradient and output, and one for the keys' and values'.
  func attentionGradientOnWarps(
    _ forward: EncoderAttention, _ operands: AttentionGradientOperands, scale: Float, causal: Bool,
    _ batch: OpenCLPackedBatch, _ joint: Tensor
  ) throws {
    let (q, k, v) = (operands.query, operands.key, operands.value)
    let (g, o, sums) = (operands.gradient, operands.output, operands.sums)
    let shared = forward.heads / forward.kvHeads
    let shape = tuned.warps.encoder.gradient(headDim: forward.headDim)
    let options = warpAttentionOptions(headDim: forward.headDim, [q, k, v, g, o]) + shape.options
    let products = try FloatView(try allocate(forward.logSumExpShape, .f32)).buffer
    let inputs: [KernelArgument] = [
      .buffer("q", q.buffer), .uint("q_offset", q.offset), .uint("q_stride", q.stride),
      .buffer("k", k.buffer), .uint("k_offset", k.offset), .uint("k_stride", k.stride),
      .buffer("v", v.buffer), .uint("v_offset", v.offset), .uint("v_stride", v.stride),
      .buffer("gradient", g.buffer), .uint("gradient_offset", g.offset), .uint("gradient_stride", g.stride),
    ]
    let outputs: [KernelArgument] = [
      .buffer("output", o.buffer), .uint("output_offset", o.offset), .uint("output_stride", o.stride),
    ]
    let passes: [(name: StaticString, arguments: [KernelArgument], group: Int)] = [
      ("encoder_attention_query_gradient_mma", inputs + outputs, shared),
      ("encoder_attention_key_gradient_mma", inputs, 1),
    ]
    for pass in passes {
      let tiles = try batch.queryBlocks(.init(group: pass.group, queries: shape.rows), self)
      try context.launch(
        try library.kernel(.encoderAttentionGradientMMA, pass.name, options), pass.arguments,
        and: [
          .buffer("sums", sums.buffer), .uint("sums_offset", sums.offset), .uint("sums_stride", sums.stride),
          .buffer("products", products), .buffer("items", tiles.buffer),
          .buffer("result", try FloatView(joint).buffer), .uint("heads", UInt32(forward.heads)),
          .uint("shared", UInt32(shared)), .int("causal", causal ? 1 : 0), .float("scale", scale),
        ], global: (shape.items * forward.kvHeads, tiles.count, 1), local: (shape.items, 1, 1))
    }
  }
}
