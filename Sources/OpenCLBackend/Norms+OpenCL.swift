import OpenCLRuntime
import Tensors

extension OpenCLBackend {
  public func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float) throws -> Tensor {
    let operation = try RMSNorm(x: x.shape, weight: weight.shape, epsilon: epsilon)
    let (input, scale) = (try FloatView(x), try FloatView(weight))
    let y = try allocate(operation.outputShape, .f32)
    try launchGroups(
      try rowKernel(
        .rmsNorm, "rms_norm", at: input.places | scale.offset, width: x.width, held: x.width),
      [
        .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
        .buffer("weight", scale.buffer), .uint("weight_offset", scale.offset),
        .buffer("y", try FloatView(y).buffer), .uint("width", UInt32(operation.width)),
        .float("epsilon", epsilon),
      ], 1, operation.rows)
    try record(operation)
    return y
  }

  public func addRMSNorm(_ a: Tensor, _ b: Tensor, weight: Tensor, epsilon: Float) throws -> (
    sum: Tensor, normed: Tensor
  ) {
    let operation = try AddRMSNorm(a.shape, b.shape, weight: weight.shape)
    let (left, right, scale) = (try FloatView(a), try FloatView(b), try FloatView(weight))
    let (sum, y) = (try allocate(a.shape, .f32), try allocate(a.shape, .f32))
    try launchGroups(
      try rowKernel(
        .addRMSNorm, "add_rms_norm", at: left.places | right.places | scale.offset, width: a.width,
        held: a.width),
      [
        .buffer("a", left.buffer), .uint("a_offset", left.offset), .uint("a_stride", left.stride),
        .buffer("b", right.buffer), .uint("b_offset", right.offset), .uint("b_stride", right.stride),
        .buffer("weight", scale.buffer), .uint("weight_offset", scale.offset),
        .buffer("sum", try FloatView(sum).buffer), .buffer("y", try FloatView(y).buffer),
        .uint("width", UInt32(operation.width)), .float("epsilon", epsilon),
      ], 1, operation.rows)
    try record(operation)
    return (sum, y)
  }

  public func layerNorm(_ x: Tensor, weight: Tensor, bias: Tensor, epsilon: Float) throws -> Tensor {
    let operation = try LayerNorm(x: x.shape, weight: weight.shape, bias: bias.shape, epsilon: epsilon)
    let (input, scale, shift) = (try FloatView(x), try FloatView(weight), try FloatView(bias))
    let y = try allocate(operation.outputShape, .f32)
    try launchGroups(
      try rowKernel(
        .layerNorm, "layer_norm", at: input.places | scale.offset | shift.offset, width: x.width,
        held: x.width),
      [
        .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
        .buffer("weight", scale.buffer), .uint("weight_offset", scale.offset),
        .buffer("bias", shift.buffer), .uint("bias_offset", shift.offset),
        .buffer("y", try FloatView(y).buffer), .uint("width", UInt32(operation.width)),
        .float("epsilon", epsilon),
      ], 1, operation.rows)
    try record(operation)
    return y
  }

  public func l2Normalize(_ x: Tensor, epsilon: Float) throws -> Tensor {
    let operation = try L2Normalize(x.shape)
    let input = try FloatView(x)
    let y = try allocate(operation.outputShape, .f32)
    try launchGroups(
      try rowKernel(.l2Normalize, "l2_normalize", at: input.places, width: x.width, held: x.width),
      [
        .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
        .buffer("y", try FloatView(y).buffer), .uint("width", UInt32(y.width)), .float("epsilon", epsilon),
      ], 1, y.rows)
    try record(operation)
    return y
  }

  public func softmax(_ x: Tensor) throws -> Tensor {
    let operation = try Softmax(x.shape)
    let input = try FloatView(x)
    let y = try allocate(operation.outputShape, .f32)
    try launchGroups(
      try rowKernel(.softmax, "softmax", at: input.places, width: x.width, held: x.width),
      [
        .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
        .buffer("y", try FloatView(y).buffer), .uint("width", UInt32(x.width)),
      ], 1, x.rows)
    try record(operation)
    return y
  }
}
