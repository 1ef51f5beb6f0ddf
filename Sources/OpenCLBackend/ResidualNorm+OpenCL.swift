import Basics
import Kernels
import OpenCLRuntime
import Tensors

/// What ends the halves of an encoder's layer, in one pass over memory each way.
extension OpenCLBackend {
  public func residualNorm(
    _ x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, _ draws: DropoutDraws
  ) throws -> (sum: Tensor, y: Tensor) {
    let operation = try ResidualNorm(
      x.shape, residual: residual.shape, weight: weight.shape, bias: bias.shape, rate: draws.rate)
    let sum = try allocate(operation.outputShape, .f32)
    return (sum, try residualNorm(operation, x, residual, weight, bias, epsilon, draws, sum: sum))
  }

  public func residualNormGradient(
    _ g: Tensor, sum: Tensor, weight: Tensor, epsilon: Float, _ draws: DropoutDraws, weightSum: Tensor,
    biasSum: Tensor, columnSum: Tensor
  ) throws -> (residual: Tensor, x: Tensor) {
    let vectors = [weight.shape, weightSum.shape, biasSum.shape, columnSum.shape]
    let operation = try RowGradient<ResidualNorm>(
      g.shape, [sum.shape], vectors: vectors, flopsPerElement: 25)
    let residual = try allocate(g.shape, .f32)
    let x = draws.rate > 0 ? try allocate(g.shape, .f32) : residual
    try normGradient(
      .residualNormGradient, "residual_norm_gradient", g, sum, weight, epsilon, residual,
      more: drawArguments(draws) + [.buffer("kept", try FloatView(x).buffer)],
      options: draws.rate > 0 ? "-DDRAWS=1 " : "", kept: x, sums: [weightSum, biasSum, columnSum])
    try record(operation)
    return (residual, x)
  }

  /// ``Backend/plainEncoderLayerOutput(_:attended:_:)`` with each sum and its norm in one pass, to the same bits.
  public func encoderLayerOutput(_ hidden: Tensor, attended: Tensor, _ weights: EncoderLayerOutput.Weights)
    throws -> Tensor
  {
    _ = try EncoderLayerOutput(hidden: hidden.shape, attended: attended.shape, weights)
    func product(_ x: Tensor, _ product: EncoderLayerOutput.Product) throws -> Tensor {
      try matmul(x, product.weight, bias: product.bias)
    }
    func norm(_ x: Tensor, _ residual: Tensor, _ norm: EncoderLayerOutput.Norm) throws -> Tensor {
      let operation = try ResidualNorm(
        x.shape, residual: residual.shape, weight: norm.weight.shape, bias: norm.bias.shape, rate: 0,
        keepsSum: false)
      return try residualNorm(
        operation, x, residual, norm.weight, norm.bias, weights.epsilon,
        DropoutDraws(rate: 0, key: 0, stream: 0), sum: nil)
    }
    let first = try norm(product(attended, weights.attentionOutput), hidden, weights.attentionNorm)
    let inner = try gelu(product(first, weights.up), weights.activation)
    return try norm(product(inner, weights.down), first, weights.outputNorm)
  }

  private func residualNorm(
    _ operation: ResidualNorm, _ x: Tensor, _ residual: Tensor, _ weight: Tensor, _ bias: Tensor,
    _ epsilon: Float, _ draws: DropoutDraws, sum: Tensor?
  ) throws -> Tensor {
    let (input, other) = (try FloatView(x), try FloatView(residual))
    let (scale, shift) = (try FloatView(weight), try FloatView(bias))
    let y = try allocate(operation.outputShape, .f32)
    let output = try FloatView(y).buffer
    let options: KernelOptions =
      sum == nil ? "" : draws.rate > 0 ? "-DKEEPS_SUM=1 -DDRAWS=1 " : "-DKEEPS_SUM=1 "
    try launchGroups(
      try rowKernel(
        .residualNorm, "residual_norm", at: input.places | other.places | scale.offset | shift.offset,
        width: x.width, held: x.width, options),
      [
        .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
        .buffer("residual", other.buffer), .uint("residual_offset", other.offset),
        .uint("residual_stride", other.stride), .buffer("weight", scale.buffer),
        .uint("weight_offset", scale.offset), .buffer("bias", shift.buffer),
        .uint("bias_offset", shift.offset),
      ] + drawArguments(draws) + [
        // A buffer must be passed where the sum is not kept too; the kernel does not write it.
        .buffer("sum", try sum.map { try FloatView($0).buffer } ?? output), .buffer("y", output),
        .uint("width", UInt32(x.width)), .float("epsilon", epsilon),
      ], 1, x.rows)
    try record(operation)
    return y
  }

  /// What the kernels that draw ask for (dropout_draws.opencl).
  func drawArguments(_ draws: DropoutDraws) -> [KernelArgument] {
    [
      .ulong("key", draws.key), .ulong("stream", draws.stream),
      .uint("threshold", draws.rate > 0 ? Dropout.threshold(draws.rate) : 0),
      .float("factor", 1 / (1 - draws.rate)),
    ]
  }
}
