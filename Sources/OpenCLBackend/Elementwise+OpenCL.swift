import Basics
import OpenCLRuntime
import Tensors

extension OpenCLBackend {
  public func siluMul(gate: Tensor, up: Tensor) throws -> Tensor {
    let operation = try SiLUMul(gate: gate.shape, up: up.shape)
    return try elementwise(
      operation, try rowKernel(.siluMul, "silu_mul"), operands: [("gate", gate), ("up", up)])
  }

  public func gelu(_ x: Tensor, _ form: GELU.Form) throws -> Tensor {
    let operation = try GELU(x.shape)
    let kernel = try rowKernel(.gelu, "gelu", form == .tanh ? "-DTANH=1 " : "")
    return try elementwise(operation, kernel, operands: [("x", x)])
  }

  public func tanh(_ x: Tensor) throws -> Tensor {
    let operation = try Tanh(x.shape)
    return try elementwise(operation, try rowKernel(.tanh, "tanh_rows"), operands: [("x", x)])
  }

  public func add(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    let operation = try Add(a.shape, b.shape)
    return try elementwise(operation, try rowKernel(.add, "add"), operands: [("a", a), ("b", b)])
  }

  public func gatherRows(_ x: Tensor, _ indices: [Int32]) throws -> Tensor {
    let operation = try GatherRows(x.shape, indices: indices)
    return try elementwise(
      operation, try rowKernel(.gatherRows, "gather_rows"), operands: [("x", x)],
      extra: [.buffer("indices", try makeBuffer(indices))])
  }

  /// Runs a kernel over segments of the output's rows.
  func elementwise(
    _ operation: any Tensors.Operation, _ kernel: OpenCLKernel, operands: [(name: String, tensor: Tensor)],
    extra: [KernelArgument] = []
  ) throws -> Tensor {
    var arguments: [KernelArgument] = []
    for operand in operands {
      let view = try FloatView(operand.tensor)
      arguments += [
        .buffer(operand.name, view.buffer), .uint(operand.name + "_offset", view.offset),
        .uint(operand.name + "_stride", view.stride),
      ]
    }
    let y = try allocate(operation.outputShape, .f32)
    arguments += extra + [.buffer("y", try FloatView(y).buffer), .uint("width", UInt32(y.width))]
    try launchItems(kernel, arguments, rowOptions.segments(y.width), y.rows)
    try record(operation)
    return y
  }
}
