import Basics
import OpenCLRuntime
import Tensors

extension TunableKernel {
  /// `encoder_attention` on tensor cores (encoder_attention_mma.opencl): queries of a group, and keys of a tile.
  public static let encoderAttentionWarp = TunableKernel(
    "encoder_attention_mma.nvidia", family: .gpu, needsWarps: true, bitsOf: .training,
    parameters: [
      TunableParameter("QUERIES", [32, 64, 128]), TunableParameter("KEYS", [32, 64], changesBits: true),
    ],
    trial: { backend, _ in
      let trial = try EncoderTrial(backend, headDim: 32)
      return TuningTrial(trial.forward, tolerance: TrialInputs.warpTolerance) { try trial.attend().output }
    })

  /// `encoder_attention_gradient` on tensor cores (encoder_attention_gradient_mma.opencl): warps of a group, and rows of
  /// a tile, for heads of up to 32 numbers (`narrow`) and of up to 64 (`wide`).
  public static let encoderAttentionGradientWarp = TunableKernel(
    "encoder_attention_gradient_mma.nvidia", family: .gpu, needsWarps: true, bitsOf: .training,
    parameters: [TunableParameter("WARPS", [2, 4, 8]), TunableParameter("TILE", [16, 32])],
    classes: EncoderWarpShapes.gradientClasses,
    trial: { backend, shapeClass in
      let trial = try EncoderTrial(backend, headDim: shapeClass == "narrow" ? 32 : 64)
      let result = try trial.attend()
      let logSumExp = try result.requireLogSumExp()
      let operation = try EncoderAttentionGradient(
        gradient: trial.gradient.shape, output: result.output.shape, logSumExp: logSumExp.shape, trial.forward
      )
      return TuningTrial(operation, tolerance: 2 * TrialInputs.warpTolerance) {
        try backend.encoderAttentionGradient(
          trial.gradient, query: trial.query, key: trial.key, value: trial.value, output: result.output,
          logSumExp: logSumExp, heads: trial.forward.heads, scale: trial.scale, causal: false,
          precision: .bf16, trial.batch)
      }
    })

  /// Texts as a student reads them in training, queries, keys and values side by side as its products leave them.
  private struct EncoderTrial {
    let forward: EncoderAttention
    let (query, key, value): (Tensor, Tensor, Tensor)
    let gradient: Tensor
    let scale: Float
    let batch: any PreparedPackedBatch
    private let backend: OpenCLBackend

    init(_ backend: OpenCLBackend, headDim: Int) throws {
      self.backend = backend
      let (lengths, heads) =
        TrialInputs.areSmall(backend) ? ([40, 70], 2) : ([Int](repeating: 128, count: 32), 12)
      let packed = try PackedBatch(tokenIDs: lengths.map { [Int32](repeating: 1, count: $0) })
      let width = heads * headDim
      let joint = try TrialInputs.matrix(backend, packed.rows, 3 * width, seed: 22)
      query = try joint.columns(0..<width)
      key = try joint.columns(width..<2 * width)
      value = try joint.columns(2 * width..<3 * width)
      gradient = try TrialInputs.matrix(backend, packed.rows, width, seed: 23)
      scale = 1 / Float(headDim).squareRoot()
      batch = try backend.prepare(packed)
      forward = try EncoderAttention(
        query: query.shape, key: key.shape, value: value.shape, heads: heads, batch: packed)
    }

    func attend() throws -> EncoderAttention.Output {
      try backend.encoderAttention(
        query: query, key: key, value: value, heads: forward.heads, scale: scale, precision: .bf16,
        wantsLogSumExp: true, batch)
    }
  }
}
