import Basics
import Tensors

extension ReferenceBackend: TrainingBackend {
  // MARK: Memory

  public func write(_ values: [Float], to tensor: Tensor) throws { try replace(tensor, with: values.doubles) }

  public func zero(_ tensor: Tensor) throws {
    try replace(tensor, with: [Double](repeating: 0, count: tensor.shape.count))
  }

  /// Overwrites a tensor's elements without rounding.
  public func replace(_ tensor: Tensor, with values: [Double]) throws {
    guard values.count == tensor.shape.count else {
      throw misfit("\(values.count) values for \(tensor.shape)")
    }
    let buffer = try cast(tensor.buffer, Buffer.self)
    for (index, value) in values.enumerated() {
      buffer.values[tensor.offset + index / tensor.width * tensor.rowStride + index % tensor.width] = value
    }
  }

  private func misfit(_ message: String) -> RetortError {
    RetortError(.shapeMismatch, message, remedy: "Pass tensors that fit.")
  }

  // MARK: Products and sums

  public func product(
    _ a: Tensor, transposeA: Bool, _ b: Tensor, transposeB: Bool, bias: Tensor?, addTo sum: Tensor?,
    precision: DType
  ) throws -> Tensor {
    let operation = try Product(
      a.shape, transposeA: transposeA, b.shape, transposeB: transposeB, bias: bias?.shape, addTo: sum?.shape,
      precision: precision)
    let (m, n, k) = (operation.m, operation.n, operation.k)
    let (left, right) = (try doubles(a), try doubles(b))
    let expected = Reference.product(
      m, k, n, bias: try bias.map(doubles), sum: try sum.map(doubles),
      left: { left[transposeA ? $1 * m + $0 : $0 * k + $1] },
      right: { right[transposeB ? $1 * k + $0 : $0 * n + $1] })
    guard let sum else { return try upload(exact: expected.values, shape: [m, n]) }
    try replace(sum, with: expected.values)
    return sum
  }

  public func addColumnSums(_ x: Tensor, to sum: Tensor) throws {
    _ = try ColumnSums(x.shape, to: sum.shape)
    try replace(sum, with: Reference.columnSums(doubles(x), sum: doubles(sum)).values)
  }

  public func scatterAddRows(_ g: Tensor, _ indices: [Int32], to sum: Tensor) throws {
    _ = try ScatterAddRows(g.shape, indices: indices, to: sum.shape)
    let added = Reference.scatterAddRows(try doubles(g), indices, width: g.width, sum: try doubles(sum))
    try replace(sum, with: added.values)
  }

  /// Adds the values of a result to a sum.
  private func accumulate(_ result: Reference.Result, to sum: Tensor) throws {
    try replace(sum, with: zip(doubles(sum), result.values).map { $0 + $1 })
  }

  // MARK: Forward operations

  public func rope(_ x: Tensor, _ spec: RoPE, inverse: Bool, _ batch: any PreparedPackedBatch) throws
    -> Tensor
  {
    let positions = batch.packed.positions
    let operation = try RotaryEmbedding(x: x.shape, spec: spec, batchRows: positions.count)
    return try result(
      Reference.rope(doubles(x), width: x.width, spec, inverse: inverse, positions: positions), operation)
  }

  public func dropout(_ x: Tensor, rate: Float, key: UInt64, stream: UInt64) throws -> Tensor {
    let operation = try Dropout(x.shape, rate: rate)
    let words = Reference.dropoutWords(rows: x.rows, width: x.width, key: key, stream: stream)
    return try result(Reference.dropout(doubles(x), words: words, rate: Double(rate)), operation)
  }

  public func scale(_ x: Tensor, by factor: Float) throws -> Tensor {
    try upload(exact: doubles(x).map { $0 * Double(factor) }, shape: Scale(x.shape).outputShape)
  }

  public func rowDots(_ a: Tensor, _ b: Tensor, groups: Int) throws -> Tensor {
    let operation = try RowDots(a.shape, b.shape, groups: groups)
    return try result(Reference.rowDots(doubles(a), doubles(b), groupWidth: a.width / groups), operation)
  }

  public func scaleGroups(_ x: Tensor, by factors: Tensor) throws -> Tensor {
    let operation = try ScaleGroups(x.shape, by: factors.shape)
    return try result(Reference.scaleGroups(doubles(x), by: doubles(factors)), operation)
  }

  public func scaleColumns(_ x: Tensor, by factors: Tensor, bias: Tensor?) throws -> Tensor {
    let operation = try ScaleColumns(x.shape, by: factors.shape, bias: bias?.shape)
    return try result(
      Reference.scaleColumns(doubles(x), by: doubles(factors), bias: bias.map(doubles)), operation)
  }

  public func ordinalLogits(_ x: Tensor, parameters: Tensor) throws -> Tensor {
    let operation = try OrdinalLogits(x.shape, parameters: parameters.shape)
    return try result(Reference.ordinalLogits(doubles(x), parameters: doubles(parameters)), operation)
  }

  // MARK: Gradients

  public func layerNormGradient(
    _ g: Tensor, x: Tensor, weight: Tensor, epsilon: Float, weightSum: Tensor, biasSum: Tensor
  ) throws -> Tensor {
    let operation = try RowGradient<LayerNorm>(
      g.shape, [x.shape], vectors: [weight.shape, weightSum.shape, biasSum.shape], flopsPerElement: 16)
    let expected = Reference.layerNormGradient(
      try doubles(g), x: try doubles(x), weight: try doubles(weight), epsilon: Double(epsilon))
    try accumulate(expected.weight, to: weightSum)
    try accumulate(expected.bias, to: biasSum)
    return try result(expected.x, operation)
  }

  public func rmsNormGradient(_ g: Tensor, x: Tensor, weight: Tensor, epsilon: Float, weightSum: Tensor)
    throws -> Tensor
  {
    let operation = try RowGradient<RMSNorm>(
      g.shape, [x.shape], vectors: [weight.shape, weightSum.shape], flopsPerElement: 10)
    let expected = Reference.rmsNormGradient(
      try doubles(g), x: try doubles(x), weight: try doubles(weight), epsilon: Double(epsilon))
    try accumulate(expected.weight, to: weightSum)
    return try result(expected.x, operation)
  }

  public func geluGradient(_ g: Tensor, x: Tensor, _ form: GELU.Form) throws -> Tensor {
    let operation = try RowGradient<GELU>(g.shape, [x.shape], flopsPerElement: 12)
    return try result(Reference.geluGradient(doubles(g), x: doubles(x), form), operation)
  }

  public func siluMulGradient(_ g: Tensor, gate: Tensor, up: Tensor) throws -> (gate: Tensor, up: Tensor) {
    let operation = try RowGradient<SiLUMul>(g.shape, [gate.shape, up.shape], flopsPerElement: 10)
    let expected = Reference.siluMulGradient(try doubles(g), gate: try doubles(gate), up: try doubles(up))
    return (try result(expected.gate, operation), try result(expected.up, operation))
  }

  public func tanhGradient(_ g: Tensor, y: Tensor) throws -> Tensor {
    let operation = try RowGradient<Tanh>(g.shape, [y.shape], flopsPerElement: 3)
    return try result(Reference.tanhGradient(doubles(g), y: doubles(y)), operation)
  }

  public func softmaxGradient(_ g: Tensor, y: Tensor) throws -> Tensor {
    let operation = try RowGradient<Softmax>(g.shape, [y.shape], flopsPerElement: 4)
    return try result(Reference.softmaxGradient(doubles(g), y: doubles(y), width: g.width), operation)
  }

  public func l2NormalizeGradient(_ g: Tensor, x: Tensor, epsilon: Float) throws -> Tensor {
    let operation = try RowGradient<L2Normalize>(g.shape, [x.shape], flopsPerElement: 7)
    return try result(
      Reference.l2NormalizeGradient(doubles(g), x: doubles(x), width: g.width, epsilon: Double(epsilon)),
      operation)
  }

  public func meanPoolGradient(_ g: Tensor, _ batch: any PreparedPackedBatch) throws -> Tensor {
    let operation = try MeanPoolGradient(g.shape, batch: batch.packed)
    let expected = Reference.meanPoolGradient(try doubles(g), width: g.width, batch.packed)
    return try upload(exact: expected.values, shape: operation.outputShape)
  }

  public func ordinalLogitsGradient(_ g: Tensor, x: Tensor, parameters: Tensor, sum: Tensor) throws -> Tensor
  {
    let operation = try OrdinalLogitsGradient(
      g.shape, x: x.shape, parameters: parameters.shape, sum: sum.shape)
    let expected = Reference.ordinalLogitsGradient(
      try doubles(g), x: try doubles(x), parameters: try doubles(parameters), sum: try doubles(sum))
    try replace(sum, with: expected.parameters.values)
    return try upload(exact: expected.x.values, shape: operation.outputShape)
  }

  // MARK: Losses and optimiser

  public func softmaxDivergence(_ logits: Tensor, targets: Tensor, weights: Tensor, temperature: Float) throws
    -> LossResult
  {
    let operation = try SoftmaxDivergence(
      logits.shape, targets: targets.shape, weights: weights.shape, temperature: temperature)
    let expected = Reference.softmaxDivergence(
      try doubles(logits), targets: try doubles(targets), weights: try doubles(weights),
      temperature: Double(temperature))
    return LossResult(
      losses: try upload(exact: expected.losses.values, shape: [logits.rows]),
      gradient: try result(expected.gradient, operation))
  }

  public func sigmoidCrossEntropy(_ logits: Tensor, targets: Tensor, weights: Tensor) throws -> LossResult {
    let operation = try SigmoidCrossEntropy(logits.shape, targets: targets.shape, weights: weights.shape)
    let expected = Reference.sigmoidCrossEntropy(
      try doubles(logits), targets: try doubles(targets), weights: try doubles(weights), width: logits.width)
    return LossResult(
      losses: try upload(exact: expected.losses.values, shape: [logits.rows]),
      gradient: try result(expected.gradient, operation))
  }

  public func sumOfSquares(_ tensors: [Tensor]) throws -> Double {
    try tensors.reduce(0) { sum, tensor in try doubles(tensor).reduce(sum) { $0 + $1 * $1 } }
  }

  public func adamW(
    _ parameter: Tensor, gradient: Tensor, firstMoment: Tensor, secondMoment: Tensor, _ step: AdamWStep
  ) throws {
    _ = try AdamW(
      parameter.shape, gradient: gradient.shape, firstMoment: firstMoment.shape,
      secondMoment: secondMoment.shape)
    let next = Reference.adamW(
      try doubles(parameter), gradient: try doubles(gradient), firstMoment: try doubles(firstMoment),
      secondMoment: try doubles(secondMoment), step)
    try replace(parameter, with: next.parameter.values)
    try replace(firstMoment, with: next.firstMoment.values)
    try replace(secondMoment, with: next.secondMoment.values)
  }
}
