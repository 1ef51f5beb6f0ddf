import Basics
import OpenCLRuntime
import Tensors

/// What only training needs.
extension OpenCLBackend: TrainingBackend {
  public func write(_ values: [Float], to tensor: Tensor) throws {
    let view = try FloatView(packed(tensor))
    guard values.count == tensor.shape.count else {
      throw RetortError(
        .shapeMismatch, "\(values.count) values for shape \(tensor.shape)",
        remedy: "Give one value an element.")
    }
    try values.withUnsafeBytes { try context.write($0, to: view.buffer, at: tensor.offset * 4) }
  }

  public func zero(_ tensor: Tensor) throws {
    let view = try FloatView(packed(tensor))
    try context.zero(view.buffer, at: tensor.offset * 4, byteCount: tensor.shape.count * 4)
  }

  public func dropout(_ x: Tensor, rate: Float, key: UInt64, stream: UInt64) throws -> Tensor {
    let operation = try Dropout(x.shape, rate: rate)
    let input = try FloatView(x)
    let y = try allocate(operation.outputShape, .f32)
    // The kernel's COLUMNS.
    let columns = family == .cpu ? rowOptions.segment : 8
    try launchColumns(
      try rowKernel(.dropout, "dropout", at: input.places, width: y.width),
      [
        .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
        .ulong("key", key), .ulong("stream", stream), .uint("threshold", Dropout.threshold(rate)),
        .float("scale", 1 / (1 - rate)), .buffer("y", try FloatView(y).buffer),
        .uint("width", UInt32(y.width)),
      ], (y.width + columns - 1) / columns, y.rows)
    try record(operation)
    return y
  }

  public func scale(_ x: Tensor, by factor: Float) throws -> Tensor {
    try elementwise(
      Scale(x.shape), .scale, "scale", operands: [(.x, x)], extra: [.float("factor", factor)])
  }

  public func rowDots(_ a: Tensor, _ b: Tensor, groups: Int) throws -> Tensor {
    let operation = try RowDots(a.shape, b.shape, groups: groups)
    let (left, right) = (try FloatView(a), try FloatView(b))
    let y = try allocate(operation.outputShape, .f32)
    try launchGroups(
      try rowKernel(
        .rowDots, "row_dots", at: left.places | right.places, width: operation.width / groups),
      [
        .buffer("a", left.buffer), .uint("a_offset", left.offset), .uint("a_stride", left.stride),
        .buffer("b", right.buffer), .uint("b_offset", right.offset), .uint("b_stride", right.stride),
        .buffer("y", try FloatView(y).buffer), .uint("groups", UInt32(groups)),
        .uint("group_width", UInt32(operation.width / groups)),
      ], groups, operation.rows)
    try record(operation)
    return y
  }

  public func scaleGroups(_ x: Tensor, by factors: Tensor) throws -> Tensor {
    let operation = try ScaleGroups(x.shape, by: factors.shape)
    let groupWidth = x.width / operation.groups
    let factor = try FloatView(factors)
    return try elementwise(
      operation, .scaleGroups, "scale_groups", operands: [(.x, x)],
      extra: [
        .buffer("factors", factor.buffer), .uint("factors_offset", factor.offset),
        .uint("factors_stride", factor.stride), .uint("group_width", UInt32(groupWidth)),
      ], at: groupWidth == 1 ? factor.places : 0, run: groupWidth == 1 ? x.width : groupWidth)
  }

  public func scaleColumns(_ x: Tensor, by factors: Tensor, bias: Tensor?) throws -> Tensor {
    let operation = try ScaleColumns(x.shape, by: factors.shape, bias: bias?.shape)
    // A buffer must be passed where there is no bias too; the kernel does not read it.
    let (factor, shift) = (try FloatView(factors), try FloatView(bias ?? factors))
    return try elementwise(
      operation, .scaleColumns, "scale_columns", operands: [(.x, x)],
      extra: [
        .buffer("factors", factor.buffer), .uint("factors_offset", factor.offset),
        .buffer("bias", shift.buffer), .uint("bias_offset", shift.offset),
        .int("has_bias", bias == nil ? 0 : 1),
      ], at: factor.offset | shift.offset)
  }

  public func adamW(
    _ parameter: Tensor, gradient: Tensor, firstMoment: Tensor, secondMoment: Tensor, _ step: AdamWStep
  ) throws {
    try adamW(parameter, gradient, firstMoment, secondMoment, step, clear: false)
  }

  public func adamWClearing(
    _ parameter: Tensor, gradient: Tensor, firstMoment: Tensor, secondMoment: Tensor, _ step: AdamWStep
  ) throws {
    try adamW(parameter, gradient, firstMoment, secondMoment, step, clear: true)
  }

  private func adamW(
    _ parameter: Tensor, _ gradient: Tensor, _ firstMoment: Tensor, _ secondMoment: Tensor, _ step: AdamWStep,
    clear: Bool
  ) throws {
    let operation = try AdamW(
      parameter.shape, gradient: gradient.shape, firstMoment: firstMoment.shape,
      secondMoment: secondMoment.shape)
    let (p, g) = (try FloatView(packed(parameter)), try FloatView(packed(gradient)))
    let (m, v) = (try FloatView(packed(firstMoment)), try FloatView(packed(secondMoment)))
    let count = parameter.shape.count
    try launchColumns(
      try rowKernel(.adamW, "adamw", at: p.offset | g.offset | m.offset | v.offset, width: count),
      [
        .buffer("p", p.buffer), .uint("p_offset", p.offset), .buffer("g", g.buffer),
        .uint("g_offset", g.offset), .buffer("m", m.buffer), .uint("m_offset", m.offset),
        .buffer("v", v.buffer), .uint("v_offset", v.offset), .float("gradient_scale", step.gradientScale),
        .float("beta1", step.beta1), .float("beta2", step.beta2),
        .float("keep", 1 - step.learningRate * step.weightDecay),
        .float("rate", step.learningRate / step.firstCorrection),
        .float("root", 1 / step.secondCorrection.squareRoot()), .float("epsilon", step.epsilon),
        .int("clear", clear ? 1 : 0), .uint("count", UInt32(count)),
      ], rowOptions.segments(count))
    try record(operation)
  }
}
