import Basics
import OpenCLRuntime
import Tensors

extension OpenCLBackend {
  /// `op(a) op(b) + bias`, `[m, k] × [k, n] → [m, n]`, where `op` transposes if asked to; in Float32 whatever the
  /// precision, except where tensor cores multiply operands rounded to bfloat16.
  ///
  /// With `sum` the product is added to it in place and it is returned; it must not share memory with an operand.
  /// An element's terms are added in the order of k whatever the other extents and the family.
  ///
  /// - Throws: `shapeMismatch` where operands do not fit, `invalidArgument` for another precision, `outOfMemory`.
  public func product(
    _ a: Tensor, transposeA: Bool, _ b: Tensor, transposeB: Bool, bias: Tensor?, addTo sum: Tensor?,
    precision: DType
  ) throws -> Tensor {
    try product(
      a, transposeA: transposeA, b, transposeB: transposeB, bias: bias, addTo: sum, precision: precision,
      onWarpgroups: multipliesOnWarpgroups(precision))
  }

  /// The same by `wgmma`, or not, whatever the device's table says.
  ///
  /// - Throws: `unsupported` where `wgmma` is asked for and cannot multiply (``canMultiplyOnWarpgroups``).
  public func product(
    _ a: Tensor, transposeA: Bool, _ b: Tensor, transposeB: Bool, bias: Tensor?, addTo sum: Tensor?,
    precision: DType, onWarpgroups: Bool
  ) throws -> Tensor {
    let operation = try Product(
      a.shape, transposeA: transposeA, b.shape, transposeB: transposeB, bias: bias?.shape, addTo: sum?.shape,
      precision: precision)
    let (left, right) = (try FloatView(a), try FloatView(b))
    let y = try sum ?? allocate(operation.outputShape, .f32)
    let target = try FloatView(y)
    guard operation.m > 0, operation.n > 0 else { return y }
    // A buffer must be passed where there is no bias too; the kernel does not read it.
    let shift = try bias.map(FloatView.init)
    let operand: [KernelArgument] = [
      .buffer("a", left.buffer), .uint("a_offset", left.offset),
      .uint("a_row", transposeA ? 1 : left.stride), .uint("a_term", transposeA ? left.stride : 1),
    ]
    let columns: [KernelArgument] = [
      .buffer("b", right.buffer), .uint("b_offset", right.offset),
      .uint("b_term", transposeB ? 1 : right.stride), .uint("b_column", transposeB ? right.stride : 1),
    ]
    let result: [KernelArgument] = [
      .buffer("bias", (shift ?? left).buffer), .uint("bias_offset", shift?.offset ?? 0),
      .int("has_bias", bias == nil ? 0 : 1), .buffer("y", target.buffer), .uint("y_offset", target.offset),
      .uint("y_stride", target.stride), .int("accumulate", sum == nil ? 0 : 1),
      .uint("m", UInt32(operation.m)), .uint("n", UInt32(operation.n)),
    ]
    let terms: [KernelArgument] = [.uint("K", UInt32(operation.k))]
    if onWarpgroups {
      guard canMultiplyOnWarpgroups, precision == .bf16 else {
        throw RetortError(
          .unsupported, "wgmma multiplies in bf16, on devices where 'retort devices --probe' saw it work",
          remedy: "Multiply without.")
      }
      try multiplyWarpgroups(operation, left, transposeA: transposeA, right, transposeB: transposeB, result)
    } else if multipliesOnWarps(precision) {
      try multiplyWarps(
        operation, transposeA: transposeA, transposeB: transposeB, operand + columns + result + terms)
    } else if family == .cpu {
      try multiplyPanels(operation, operand, columns, result + terms)
    } else {
      try multiplyTiled(operation, operand, columns, result + terms)
    }
    try record(operation)
    return y
  }
}
