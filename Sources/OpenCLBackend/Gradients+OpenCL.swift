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

  public func geluGradient(_ g: Tensor, x: Tensor, _ form: GELU.Form, columnSum: Tensor) throws -> Tensor {
    let operation = try RowGradient<GELU>(
      g.shape, [x.shape], vectors: [columnSum.shape], flopsPerElement: 13)
    let (upstream, input) = (try FloatView(g), try FloatView(x))
    let y = try allocate(g.shape, .f32)
    guard g.rows > 0, g.width > 0 else { return y }
    let partial = try context.makeBuffer(byteCount: columnBlocks(g.rows) * g.width * 4)
    try launchColumns(
      try rowKernel(
        .geluGradient, "gelu_gradient_sums", at: upstream.places | input.places, width: g.width,
        form == .tanh ? "-DTANH=1 " : ""),
      [
        .buffer("g", upstream.buffer), .uint("g_offset", upstream.offset), .uint("g_stride", upstream.stride),
        .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
        .buffer("y", try FloatView(y).buffer), .buffer("partial", partial), .uint("rows", UInt32(g.rows)),
        .uint("width", UInt32(g.width)),
      ], columnStrips(g.width), columnBlocks(g.rows))
    try addTotals(partial, parts: 1, rows: g.rows, to: [columnSum])
    try record(operation)
    return y
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
    let y = try allocate(operation.outputShape, .f32)
    try normGradient(source, name, g, x, weight, epsilon, y, sums: sums)
    try record(operation)
    return y
  }

  /// The gradient of a norm's input into `y`, and those of its weight and bias added to the first two of `sums`.
  ///
  /// - Parameters:
  ///   - more: what the kernel asks for besides.
  ///   - kept: whose column sums are added to a third of `sums`.
  func normGradient(
    _ source: KernelSource, _ name: StaticString, _ g: Tensor, _ x: Tensor, _ weight: Tensor,
    _ epsilon: Float, _ y: Tensor, more: [KernelArgument] = [], options: KernelOptions = "",
    kept: Tensor? = nil, sums: [Tensor]
  ) throws {
    guard g.rows > 0, g.width > 0 else { return }
    let (upstream, input, scale) = (try FloatView(g), try FloatView(x), try FloatView(weight))
    let statistics = try context.makeBuffer(byteCount: g.rows * 8)
    let operands: [KernelArgument] = [
      .buffer("g", upstream.buffer), .uint("g_offset", upstream.offset), .uint("g_stride", upstream.stride),
      .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
    ]
    let width = KernelArgument.uint("width", UInt32(g.width))
    let places = upstream.places | input.places
    try launchGroups(
      try rowKernel(source, name, at: places | scale.offset, width: g.width, held: g.width, options),
      operands + [
        .buffer("weight", scale.buffer), .uint("weight_offset", scale.offset),
        .buffer("y", try FloatView(y).buffer), .buffer("statistics", statistics), width,
        .float("epsilon", epsilon),
      ] + more, 1, g.rows)
    let parts = kept == nil ? 2 : 3
    let partial = try context.makeBuffer(byteCount: columnBlocks(g.rows) * parts * g.width * 4)
    try launchColumns(
      try rowKernel(
        .columnSums, "norm_column_sums", at: places, width: g.width, kept == nil ? "" : "-DKEPT_SUMS=1 "),
      operands + [
        .buffer("statistics", statistics),
        // A buffer must be passed where nothing is kept too; the kernel does not read it.
        .buffer("kept", try FloatView(kept ?? y).buffer), .buffer("partial", partial),
        .uint("rows", UInt32(g.rows)), width,
      ], columnStrips(g.width), columnBlocks(g.rows))
    try addTotals(partial, parts: parts, rows: g.rows, to: sums)
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
