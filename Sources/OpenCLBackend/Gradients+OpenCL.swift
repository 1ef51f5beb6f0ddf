import Basics
import Kernels
import OpenCLRuntime
import Tensors

/// Gradients of the operations that treat every row by itself.
extension OpenCLBackend {
  public func geluGradient(_ g: Tensor, x: Tensor, _ form: GELU.Form) throws -> Tensor {
    let operation = try RowGradient<GELU>(g.shape, [x.shape], flopsPerElement: 12)
    return try elementwise(
      operation, .geluGradient, "gelu_gradient", operands: [(.g, g), (.x, x)],
      options: form == .tanh ? "-DTANH=1 " : "")
  }

  public func tanhGradient(_ g: Tensor, y: Tensor) throws -> Tensor {
    let operation = try RowGradient<Tanh>(g.shape, [y.shape], flopsPerElement: 3)
    return try elementwise(
      operation, .tanhGradient, "tanh_gradient", operands: [(.g, g), (.result, y)])
  }

  public func siluMulGradient(_ g: Tensor, gate: Tensor, up: Tensor) throws -> (gate: Tensor, up: Tensor) {
    let operation = try RowGradient<SiLUMul>(g.shape, [gate.shape, up.shape], flopsPerElement: 10)
    let upGradient = try allocate(operation.outputShape, .f32)
    let gateGradient = try elementwise(
      operation, .siluMulGradient, "silu_mul_gradient",
      operands: [(.g, g), (.gate, gate), (.up, up)],
      extra: [.buffer("up_gradient", try FloatView(upGradient).buffer)])
    return (gateGradient, upGradient)
  }

  public func softmaxGradient(_ g: Tensor, y: Tensor) throws -> Tensor {
    let operation = try RowGradient<Softmax>(g.shape, [y.shape], flopsPerElement: 4)
    return try grouped(
      operation, .softmaxGradient, "softmax_gradient", operands: [(.g, g), (.result, y)])
  }

  public func l2NormalizeGradient(_ g: Tensor, x: Tensor, epsilon: Float) throws -> Tensor {
    let operation = try RowGradient<L2Normalize>(g.shape, [x.shape], flopsPerElement: 7)
    return try grouped(
      operation, .l2NormalizeGradient, "l2_normalize_gradient",
      operands: [(.g, g), (.x, x)], extra: [.float("epsilon", epsilon)])
  }

  public func layerNormGradient(
    _ g: Tensor, x: Tensor, weight: Tensor, epsilon: Float, weightSum: Tensor, biasSum: Tensor
  ) throws -> Tensor {
    let operation = try RowGradient<LayerNorm>(
      g.shape, [x.shape], vectors: [weight.shape, weightSum.shape, biasSum.shape], flopsPerElement: 16)
    return try normGradient(
      operation, .layerNormGradient, "layer_norm_gradient", g, x, weight, epsilon, sums: [weightSum, biasSum])
  }

  public func rmsNormGradient(
    _ g: Tensor, x: Tensor, weight: Tensor, epsilon: Float, weightSum: Tensor
  ) throws -> Tensor {
    let operation = try RowGradient<RMSNorm>(
      g.shape, [x.shape], vectors: [weight.shape, weightSum.shape], flopsPerElement: 10)
    return try normGradient(
      operation, .rmsNormGradient, "rms_norm_gradient", g, x, weight, epsilon, sums: [weightSum])
  }

  public func meanPoolGradient(_ g: Tensor, _ batch: any PreparedPackedBatch) throws -> Tensor {
    let operation = try MeanPoolGradient(g.shape, batch: batch.packed)
    guard let batch = batch as? OpenCLPackedBatch else { throw foreign("batch") }
    let source = try FloatView(g)
    let y = try allocate(operation.outputShape, .f32)
    try launchColumns(
      try rowKernel(.meanPoolGradient, "mean_pool_gradient", at: source.places, width: operation.width),
      [
        .buffer("g", source.buffer), .uint("g_offset", source.offset), .uint("g_stride", source.stride),
        .buffer("starts", batch.starts), .buffer("y", try FloatView(y).buffer),
        .uint("width", UInt32(operation.width)),
      ], strips(operation.width), operation.sequences)
    try record(operation)
    return y
  }

  /// The gradient of a norm's input, and those of its weight and bias added to `sums`.
  private func normGradient(
    _ operation: some Tensors.Operation, _ source: KernelSource, _ name: StaticString, _ g: Tensor,
    _ x: Tensor, _ weight: Tensor, _ epsilon: Float, sums: [Tensor]
  ) throws -> Tensor {
    let (upstream, input, scale) = (try FloatView(g), try FloatView(x), try FloatView(weight))
    let y = try allocate(operation.outputShape, .f32)
    guard g.rows > 0, g.width > 0 else { return y }
    let statistics = try context.makeBuffer(byteCount: g.rows * 8)
    let operands: [KernelArgument] = [
      .buffer("g", upstream.buffer), .uint("g_offset", upstream.offset), .uint("g_stride", upstream.stride),
      .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
    ]
    let width = KernelArgument.uint("width", UInt32(g.width))
    let places = upstream.places | input.places
    try launchGroups(
      try rowKernel(source, name, at: places | scale.offset, width: g.width, held: g.width),
      operands + [
        .buffer("weight", scale.buffer), .uint("weight_offset", scale.offset),
        .buffer("y", try FloatView(y).buffer), .buffer("statistics", statistics), width,
        .float("epsilon", epsilon),
      ], 1, g.rows)
    let partial = try context.makeBuffer(byteCount: columnBlocks(g.rows) * 2 * g.width * 4)
    try launchColumns(
      try rowKernel(.columnSums, "norm_column_sums", at: places, width: g.width),
      operands + [
        .buffer("statistics", statistics), .buffer("partial", partial), .uint("rows", UInt32(g.rows)), width,
      ], strips(g.width), columnBlocks(g.rows))
    for (index, sum) in sums.enumerated() {
      try addTotals(partial, first: index, step: 2, rows: g.rows, to: sum)
    }
    try record(operation)
    return y
  }

  /// Runs a kernel with a group a row over operands of one shape.
  private func grouped(
    _ operation: some Tensors.Operation, _ source: KernelSource, _ name: StaticString,
    operands: [(name: OperandName, tensor: Tensor)], extra: [KernelArgument] = []
  ) throws -> Tensor {
    let y = try allocate(operation.outputShape, .f32)
    var arguments: [KernelArgument] = []
    var places: UInt32 = 0
    for operand in operands {
      let view = try FloatView(operand.tensor)
      places |= view.places
      operand.name.append(view, to: &arguments)
    }
    arguments += [.buffer("y", try FloatView(y).buffer), .uint("width", UInt32(y.width))] + extra
    let kernel = try rowKernel(source, name, at: places, width: y.width, held: y.width)
    try launchGroups(kernel, arguments, 1, y.rows)
    try record(operation)
    return y
  }
}
