import Basics
import CKernels
import Tensors

/// What only training needs.
extension CPUBackend: TrainingBackend {
  public func write(_ values: [Float], to tensor: Tensor) throws {
    let target = try floats(try packed(tensor))
    guard values.count == tensor.shape.count else {
      throw RetortError(
        .shapeMismatch, "\(values.count) values for shape \(tensor.shape)",
        remedy: "Give one value an element.")
    }
    values.withUnsafeBufferPointer { source in
      if let base = source.baseAddress { target.update(from: base, count: source.count) }
    }
  }

  public func zero(_ tensor: Tensor) throws {
    try floats(packed(tensor)).update(repeating: 0, count: tensor.shape.count)
  }

  public func rope(_ x: Tensor, _ spec: RoPE, inverse: Bool, _ batch: any PreparedPackedBatch) throws
    -> Tensor
  {
    let positions = batch.packed.positions
    let operation = try RotaryEmbedding(x: x.shape, spec: spec, batchRows: positions.count)
    let y = try allocate(operation.outputShape, .f32)
    let (source, target) = (try floats(x), try floats(y))
    let frequencies = spec.frequencies
    let longest = batch.packed.longest
    let half = frequencies.count
    let angles = (0..<longest).flatMap { position in
      frequencies.map { Basics.sineAndCosine(Double(position) * $0) }
    }
    let cosines = angles.map { Float($0.cosine) }
    let sines = angles.map { Float(inverse ? -$0.sine : $0.sine) }
    measured(operation) {
      cosines.withUnsafeBufferPointer { cosines in
        sines.withUnsafeBufferPointer { sines in
          guard let cosine = cosines.baseAddress, let sine = sines.baseAddress else { return }
          forRows(x) { row in
            let place = Int(positions[row]) * half
            rk_rope(
              source + row * x.rowStride, target + row * x.width, Int32(x.width / spec.headDim),
              Int32(spec.headDim), Int32(spec.rotaryDim), cosine + place, sine + place,
              spec.pairing == .neighbours ? 1 : 0)
          }
        }
      }
    }
    return y
  }

  public func dropout(_ x: Tensor, rate: Float, key: UInt64, stream: UInt64) throws -> Tensor {
    let operation = try Dropout(x.shape, rate: rate)
    let y = try allocate(operation.outputShape, .f32)
    let (source, target) = (try floats(x), try floats(y))
    let draws = DropoutDraws(rate: rate, key: key, stream: stream)
    measured(operation) {
      forRows(x) { row in
        var drawn = draws.kernel(row: row, width: x.width)
        rk_dropout(source + row * x.rowStride, target + row * x.width, Int32(x.width), &drawn)
      }
    }
    return y
  }

  public func scale(_ x: Tensor, by factor: Float) throws -> Tensor {
    try rowwise(Scale(x.shape), x) { rk_scale($0, factor, $1, Int32(x.width)) }
  }

  public func rowDots(_ a: Tensor, _ b: Tensor, groups: Int) throws -> Tensor {
    let operation = try RowDots(a.shape, b.shape, groups: groups)
    let y = try allocate(operation.outputShape, .f32)
    let (first, second, target) = (try floats(a), try floats(b), try floats(y))
    let width = a.width / groups
    measured(operation) {
      forRows(a) { row in
        for group in 0..<groups {
          target[row * groups + group] = rk_dot(
            first + row * a.rowStride + group * width, second + row * b.rowStride + group * width,
            Int32(width))
        }
      }
    }
    return y
  }

  public func scaleGroups(_ x: Tensor, by factors: Tensor) throws -> Tensor {
    let operation = try ScaleGroups(x.shape, by: factors.shape)
    let width = x.width / operation.groups
    return try pairwise(operation, x, factors) { source, factor, target, _ in
      for group in 0..<operation.groups {
        rk_scale(source + group * width, factor[group], target + group * width, Int32(width))
      }
    }
  }

  public func scaleColumns(_ x: Tensor, by factors: Tensor, bias: Tensor?) throws -> Tensor {
    let operation = try ScaleColumns(x.shape, by: factors.shape, bias: bias?.shape)
    let (factor, offset) = (try floats(factors), try bias.map(floats))
    return try rowwise(operation, x) { source, target in
      for column in 0..<x.width { target[column] = source[column] * factor[column] + (offset?[column] ?? 0) }
    }
  }

  public func sumOfSquares(_ tensors: [Tensor]) throws -> Double {
    // Shares of a fixed size, so that the sum does not depend on the number of threads.
    let share = 1 << 16
    let parts = try tensors.flatMap { tensor in
      let base = try floats(packed(tensor))
      let count = tensor.shape.count
      return stride(from: 0, to: count, by: share).map { (base: base + $0, count: min(share, count - $0)) }
    }
    let sums = UnsafeMutableBufferPointer<Double>.allocate(capacity: max(1, parts.count))
    defer { sums.deallocate() }
    pool.run(parts.count) { task, _ in
      sums[task] = rk_sum_of_squares(parts[task].base, parts[task].count)
    }
    return sums.prefix(parts.count).reduce(0, +)
  }

  public func adamW(
    _ parameter: Tensor, gradient: Tensor, firstMoment: Tensor, secondMoment: Tensor, _ step: AdamWStep
  ) throws {
    try adamW(parameter, gradient, firstMoment, secondMoment, step, clears: false)
  }

  public func adamWClearing(
    _ parameter: Tensor, gradient: Tensor, firstMoment: Tensor, secondMoment: Tensor, _ step: AdamWStep
  ) throws {
    try adamW(parameter, gradient, firstMoment, secondMoment, step, clears: true)
  }

  private func adamW(
    _ parameter: Tensor, _ gradient: Tensor, _ firstMoment: Tensor, _ secondMoment: Tensor,
    _ step: AdamWStep, clears: Bool
  ) throws {
    let operation = try AdamW(
      parameter.shape, gradient: gradient.shape, firstMoment: firstMoment.shape,
      secondMoment: secondMoment.shape)
    let (p, g) = (try floats(packed(parameter)), try floats(packed(gradient)))
    let (m, v) = (try floats(packed(firstMoment)), try floats(packed(secondMoment)))
    let numbers = rk_adamw_step(
      learning_rate: step.learningRate, beta1: step.beta1, beta2: step.beta2, epsilon: step.epsilon,
      weight_decay: step.weightDecay, first_correction: step.firstCorrection,
      second_correction: step.secondCorrection, gradient_scale: step.gradientScale,
      clear: clears ? 1 : 0)
    measured(operation) {
      pool.forRanges(parameter.shape.count, minimum: Self.smallestShare) { range in
        let start = range.lowerBound
        rk_adamw(p + start, g + start, m + start, v + start, range.count, numbers)
      }
    }
  }

  /// The tensor, where its rows lie end to end.
  private func packed(_ tensor: Tensor) throws -> Tensor {
    guard tensor.rows <= 1 || tensor.rowStride == tensor.width else {
      throw RetortError(
        .shapeMismatch, "a view of shape \(tensor.shape) with rows \(tensor.rowStride) apart",
        remedy: "Give a tensor whose rows lie end to end.")
    }
    return tensor
  }
}
