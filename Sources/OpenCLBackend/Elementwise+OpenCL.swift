import Basics
import Kernels
import OpenCLRuntime
import Tensors

extension OpenCLBackend {
  public func siluMul(gate: Tensor, up: Tensor) throws -> Tensor {
    let operation = try SiLUMul(gate: gate.shape, up: up.shape)
    return try elementwise(
      operation, .siluMul, "silu_mul", operands: [(.gate, gate), (.up, up)])
  }

  public func gelu(_ x: Tensor, _ form: GELU.Form) throws -> Tensor {
    let operation = try GELU(x.shape)
    return try elementwise(
      operation, .gelu, "gelu", operands: [(.x, x)], options: form == .tanh ? "-DTANH=1 " : "")
  }

  public func tanh(_ x: Tensor) throws -> Tensor {
    let operation = try Tanh(x.shape)
    return try elementwise(operation, .tanh, "tanh_rows", operands: [(.x, x)])
  }

  public func add(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    let operation = try Add(a.shape, b.shape)
    return try elementwise(operation, .add, "add", operands: [(.a, a), (.b, b)])
  }

  public func gatherRows(_ x: Tensor, _ indices: [Int32]) throws -> Tensor {
    let operation = try GatherRows(x.shape, indices: indices)
    return try elementwise(
      operation, .gatherRows, "gather_rows", operands: [(.x, x)],
      extra: [.buffer("indices", try makeBuffer(indices))])
  }

  /// Runs a kernel over segments of the output's rows.
  ///
  /// - Parameters:
  ///   - places: the bits of positions in other operands that the kernel reads in vectors.
  ///   - run: columns that the kernel reads end to end, all of a row where nil.
  func elementwise(
    _ operation: some Tensors.Operation, _ source: KernelSource, _ name: StaticString,
    operands: [(name: OperandName, tensor: Tensor)], extra: [KernelArgument] = [], at places: UInt32 = 0,
    run: Int? = nil, options: KernelOptions = ""
  ) throws -> Tensor {
    var arguments: [KernelArgument] = []
    arguments.reserveCapacity(3 * operands.count + extra.count + 2)
    var places = places
    for operand in operands {
      let view = try FloatView(operand.tensor)
      places |= view.places
      operand.name.append(view, to: &arguments)
    }
    let y = try allocate(operation.outputShape, .f32)
    arguments += extra + [.buffer("y", try FloatView(y).buffer), .uint("width", UInt32(y.width))]
    let kernel = try rowKernel(source, name, at: places, width: run ?? y.width, options)
    try launchColumns(kernel, arguments, rowOptions.segments(y.width), y.rows)
    try record(operation)
    return y
  }
}

/// What a kernel calls an operand, its offset and its stride.
struct OperandName {
  let buffer: StaticString
  let offset: StaticString
  let stride: StaticString

  static let a = OperandName(buffer: "a", offset: "a_offset", stride: "a_stride")
  static let b = OperandName(buffer: "b", offset: "b_offset", stride: "b_stride")
  static let g = OperandName(buffer: "g", offset: "g_offset", stride: "g_stride")
  static let gate = OperandName(buffer: "gate", offset: "gate_offset", stride: "gate_stride")
  static let result = OperandName(buffer: "result", offset: "result_offset", stride: "result_stride")
  static let up = OperandName(buffer: "up", offset: "up_offset", stride: "up_stride")
  static let x = OperandName(buffer: "x", offset: "x_offset", stride: "x_stride")

  func append(_ view: FloatView, to arguments: inout [KernelArgument]) {
    arguments.append(.buffer(buffer, view.buffer))
    arguments.append(.uint(offset, view.offset))
    arguments.append(.uint(stride, view.stride))
  }
}
