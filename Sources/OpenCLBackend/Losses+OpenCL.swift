import Basics
import OpenCLRuntime
import Tensors

/// Losses and the ordinal head: a few numbers a row, an item each.
extension OpenCLBackend {
  public func softmaxDivergence(
    _ logits: Tensor, targets: Tensor, weights: Tensor, temperature: Float
  ) throws -> LossResult {
    let operation = try SoftmaxDivergence(
      logits.shape, targets: targets.shape, weights: weights.shape, temperature: temperature)
    let (z, t, w) = (try FloatView(logits), try FloatView(targets), try FloatView(weights))
    return try loss(
      operation, try library.kernel(.softmaxDivergence, "softmax_divergence", ""),
      [
        .buffer("logits", z.buffer), .uint("logits_offset", z.offset), .uint("logits_stride", z.stride),
        .buffer("targets", t.buffer), .uint("targets_offset", t.offset), .uint("targets_stride", t.stride),
        .buffer("weights", w.buffer), .uint("weights_offset", w.offset), .float("temperature", temperature),
      ])
  }

  public func sigmoidCrossEntropy(_ logits: Tensor, targets: Tensor, weights: Tensor) throws -> LossResult {
    let operation = try SigmoidCrossEntropy(
      logits.shape, targets: targets.shape, weights: weights.shape)
    let (z, t, w) = (try FloatView(logits), try FloatView(targets), try FloatView(weights))
    return try loss(
      operation, try library.kernel(.sigmoidCrossEntropy, "sigmoid_cross_entropy", ""),
      [
        .buffer("logits", z.buffer), .uint("logits_offset", z.offset), .uint("logits_stride", z.stride),
        .buffer("targets", t.buffer), .uint("targets_offset", t.offset), .uint("targets_stride", t.stride),
        .buffer("weights", w.buffer), .uint("weights_offset", w.offset), .uint("weights_stride", w.stride),
      ])
  }

  private func loss(
    _ operation: some Tensors.Operation, _ kernel: OpenCLKernel, _ operands: [KernelArgument]
  ) throws -> LossResult {
    let (rows, classes) = (operation.outputShape[0], operation.outputShape[1])
    let (losses, gradient) = (try allocate([rows], .f32), try allocate([rows, classes], .f32))
    try launchItems(
      kernel,
      operands + [
        .buffer("losses", try FloatView(losses).buffer), .buffer("gradient", try FloatView(gradient).buffer),
        .uint("classes", UInt32(classes)), .uint("rows", UInt32(rows)),
      ], rows)
    try record(operation)
    return LossResult(losses: losses, gradient: gradient)
  }

  public func ordinalLogits(_ x: Tensor, parameters: Tensor) throws -> Tensor {
    let operation = try OrdinalLogits(x.shape, parameters: parameters.shape)
    let (input, numbers) = (try FloatView(x), try FloatView(parameters))
    let y = try allocate(operation.outputShape, .f32)
    try launchItems(
      try library.kernel(.ordinalLogits, "ordinal_logits", ""),
      [
        .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
        .buffer("parameters", numbers.buffer), .uint("parameters_offset", numbers.offset),
        .buffer("y", try FloatView(y).buffer), .uint("classes", UInt32(operation.classes)),
        .uint("rows", UInt32(operation.rows)),
      ], operation.rows)
    try record(operation)
    return y
  }

  public func ordinalLogitsGradient(_ g: Tensor, x: Tensor, parameters: Tensor, sum: Tensor) throws -> Tensor
  {
    let operation = try OrdinalLogitsGradient(
      g.shape, x: x.shape, parameters: parameters.shape, sum: sum.shape)
    let (upstream, input, numbers) = (try FloatView(g), try FloatView(x), try FloatView(parameters))
    let (y, partial) = (try allocate(operation.outputShape, .f32), try allocate(g.shape, .f32))
    try launchItems(
      try library.kernel(.ordinalLogits, "ordinal_logits_gradient", ""),
      [
        .buffer("g", upstream.buffer), .uint("g_offset", upstream.offset),
        .uint("g_stride", upstream.stride), .buffer("x", input.buffer), .uint("x_offset", input.offset),
        .uint("x_stride", input.stride), .buffer("parameters", numbers.buffer),
        .uint("parameters_offset", numbers.offset), .buffer("dx", try FloatView(y).buffer),
        .buffer("partial", try FloatView(partial).buffer), .uint("classes", UInt32(operation.classes)),
        .uint("rows", UInt32(operation.rows)),
      ], operation.rows)
    try record(operation)
    // Each row's share of the parameters' gradient, added up over the rows.
    try addColumnSums(partial, to: sum)
    return y
  }
}
