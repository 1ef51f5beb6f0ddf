import Basics

/// A backend that can train: gradients of the operations, losses and the optimiser's step.
///
/// All tensors are Float32 unless a comment says otherwise. `g` is the gradient of the loss with respect to an
/// operation's result. Operands called `sum` are added to in place. Every sum runs in an order that the shapes
/// alone decide, so a step gives the same bits every time on one device.
public protocol TrainingBackend: Backend {
  // MARK: Memory

  /// Overwrites a packed tensor's elements.
  func write(_ values: [Float], to tensor: Tensor) throws
  /// Sets every element of a packed tensor to 0.
  func zero(_ tensor: Tensor) throws

  // MARK: Products

  /// `op(a) op(b) + bias`, `[m, k] × [k, n] → [m, n]`, where `op` transposes if asked to; `.bf16` rounds the
  /// operands, never the sums. With `sum`, the product is added to it and it is returned.
  func product(
    _ a: Tensor, transposeA: Bool, _ b: Tensor, transposeB: Bool, bias: Tensor?, addTo sum: Tensor?,
    precision: DType
  ) throws -> Tensor
  /// `sum[j] += Σᵢ x[i, j]`, `[rows, width]` and `[width]`.
  func addColumnSums(_ x: Tensor, to sum: Tensor) throws

  // MARK: Forward operations that only training needs

  /// Rotation of `[rows, heads · headDim]` at the batch's positions; `inverse` turns back, which is its gradient.
  func rope(_ x: Tensor, _ spec: RoPE, inverse: Bool, _ batch: any PreparedPackedBatch) throws -> Tensor
  /// Keeps an element with probability 1 − rate, scaled by 1 / (1 − rate), and clears it otherwise.
  ///
  /// Element (row, column) draws half `column % 8`, low half first, of the four words of Philox with `key` at counter
  /// (row · ⌈width / 128⌉ · 16 + ⌊column / 8⌋, `stream`); the same call on `g` is the gradient.
  func dropout(_ x: Tensor, rate: Float, key: UInt64, stream: UInt64) throws -> Tensor
  /// ``ResidualNorm``: `sum = residual + dropout(x)` and its layer norm.
  func residualNorm(
    _ x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, _ draws: DropoutDraws
  ) throws -> (sum: Tensor, y: Tensor)
  /// `factor · x`.
  func scale(_ x: Tensor, by factor: Float) throws -> Tensor
  /// The dot products of corresponding groups of two rows: `[rows, groups · d]` twice, to `[rows, groups]`.
  func rowDots(_ a: Tensor, _ b: Tensor, groups: Int) throws -> Tensor
  /// Group j of every row times `factors[row, j]`: `[rows, groups · d]` and `[rows, groups]`.
  func scaleGroups(_ x: Tensor, by factors: Tensor) throws -> Tensor
  /// `x[i, j] · factors[j] + bias[j]`.
  func scaleColumns(_ x: Tensor, by factors: Tensor, bias: Tensor?) throws -> Tensor
  /// `ln P(y = k)` of ordered classes for `P(y > k) = σ(α · (x − θ[k]))`: `[rows, 1]` to `[rows, K]`, with
  /// `parameters` `[K]` = `[ln α, θ[0], ln(θ[1] − θ[0]), …]`.
  func ordinalLogits(_ x: Tensor, parameters: Tensor) throws -> Tensor

  // MARK: Gradients

  /// Returns the gradient of `x`; adds those of weight and bias.
  func layerNormGradient(
    _ g: Tensor, x: Tensor, weight: Tensor, epsilon: Float, weightSum: Tensor, biasSum: Tensor
  ) throws -> Tensor
  /// Returns the gradient of `x`; adds that of the weight.
  func rmsNormGradient(_ g: Tensor, x: Tensor, weight: Tensor, epsilon: Float, weightSum: Tensor) throws
    -> Tensor
  /// From the input `x`.
  func geluGradient(_ g: Tensor, x: Tensor, _ form: GELU.Form) throws -> Tensor
  /// As ``geluGradient(_:x:_:)``, and adds the column sums of what it returns to `columnSum`.
  func geluGradient(_ g: Tensor, x: Tensor, _ form: GELU.Form, columnSum: Tensor) throws -> Tensor
  /// The gradients of the residual and of `x` of ``residualNorm(_:residual:weight:bias:epsilon:_:)``, which may be
  /// one tensor; adds those of weight and bias, and the column sums of that of `x` to `columnSum`.
  func residualNormGradient(
    _ g: Tensor, sum: Tensor, weight: Tensor, epsilon: Float, _ draws: DropoutDraws, weightSum: Tensor,
    biasSum: Tensor, columnSum: Tensor
  ) throws -> (residual: Tensor, x: Tensor)
  /// The gradients of both inputs.
  func siluMulGradient(_ g: Tensor, gate: Tensor, up: Tensor) throws -> (gate: Tensor, up: Tensor)
  /// From the result `y`.
  func tanhGradient(_ g: Tensor, y: Tensor) throws -> Tensor
  /// From the result `y`.
  func softmaxGradient(_ g: Tensor, y: Tensor) throws -> Tensor
  /// From the input `x`; a row no longer than `epsilon` was divided by that alone.
  func l2NormalizeGradient(_ g: Tensor, x: Tensor, epsilon: Float) throws -> Tensor
  /// `[sequences, width] → [rows, width]`.
  func meanPoolGradient(_ g: Tensor, _ batch: any PreparedPackedBatch) throws -> Tensor
  /// `sum[indices[i]] += g[i]`, in the order of i.
  func scatterAddRows(_ g: Tensor, _ indices: [Int32], to sum: Tensor) throws
  /// The gradients of query, key and value side by side: `[rows, (heads + 2 · kvHeads) · headDim]`.
  func encoderAttentionGradient(
    _ g: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor, logSumExp: Tensor, heads: Int,
    scale: Float, causal: Bool, precision: DType, _ batch: any PreparedPackedBatch
  ) throws -> Tensor
  /// The gradients of first-row attention's query, and of key and value side by side `[rows, 2 · width]`.
  func firstRowAttentionGradient(
    _ g: Tensor, query: Tensor, key: Tensor, value: Tensor, heads: Int, scale: Float,
    _ batch: any PreparedPackedBatch
  ) throws -> (query: Tensor, keyValue: Tensor)
  /// Returns the gradient of `x`; adds that of the parameters.
  func ordinalLogitsGradient(_ g: Tensor, x: Tensor, parameters: Tensor, sum: Tensor) throws -> Tensor

  // MARK: Losses

  /// `weight · T² · Σ t (ln t − ln softmax(logits / T))` of every row, and the gradient of their sum.
  ///
  /// `targets` `[rows, K]` are distributions, `weights` has one entry a row. One-hot targets with T = 1 give the
  /// cross-entropy; targets sharpened or softened by the same T give the distillation loss (Hinton et al., 2015).
  func softmaxDivergence(_ logits: Tensor, targets: Tensor, weights: Tensor, temperature: Float) throws
    -> LossResult
  /// `Σ weight · (−t ln σ(z) − (1 − t) ln(1 − σ(z)))` of every row, `[rows, K]` each, and the gradient of their sum.
  func sigmoidCrossEntropy(_ logits: Tensor, targets: Tensor, weights: Tensor) throws -> LossResult

  // MARK: Optimiser

  /// `Σ x²` over all elements of all tensors; waits.
  func sumOfSquares(_ tensors: [Tensor]) throws -> Double
  /// One step of AdamW (Loshchilov and Hutter, 2019) on packed tensors of one shape, in place.
  func adamW(
    _ parameter: Tensor, gradient: Tensor, firstMoment: Tensor, secondMoment: Tensor, _ step: AdamWStep)
    throws
  /// As ``adamW(_:gradient:firstMoment:secondMoment:_:)``, and clears the gradient.
  func adamWClearing(
    _ parameter: Tensor, gradient: Tensor, firstMoment: Tensor, secondMoment: Tensor, _ step: AdamWStep)
    throws
}

// What a backend may do in one pass over memory, one operation after the other.
extension TrainingBackend {
  public func residualNorm(
    _ x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, _ draws: DropoutDraws
  ) throws -> (sum: Tensor, y: Tensor) {
    let kept =
      draws.rate > 0 ? try dropout(x, rate: draws.rate, key: draws.key, stream: draws.stream) : x
    let sum = try add(residual, kept)
    return (sum, try layerNorm(sum, weight: weight, bias: bias, epsilon: epsilon))
  }

  public func geluGradient(_ g: Tensor, x: Tensor, _ form: GELU.Form, columnSum: Tensor) throws -> Tensor {
    let gradient = try geluGradient(g, x: x, form)
    try addColumnSums(gradient, to: columnSum)
    return gradient
  }

  public func residualNormGradient(
    _ g: Tensor, sum: Tensor, weight: Tensor, epsilon: Float, _ draws: DropoutDraws, weightSum: Tensor,
    biasSum: Tensor, columnSum: Tensor
  ) throws -> (residual: Tensor, x: Tensor) {
    let gradient = try layerNormGradient(
      g, x: sum, weight: weight, epsilon: epsilon, weightSum: weightSum, biasSum: biasSum)
    let kept =
      draws.rate > 0
      ? try dropout(gradient, rate: draws.rate, key: draws.key, stream: draws.stream) : gradient
    try addColumnSums(kept, to: columnSum)
    return (gradient, kept)
  }

  public func firstRowAttentionGradient(
    _ g: Tensor, query: Tensor, key: Tensor, value: Tensor, heads: Int, scale: Float,
    _ batch: any PreparedPackedBatch
  ) throws -> (query: Tensor, keyValue: Tensor) {
    // The other rows' outputs have no gradient, so whatever their queries are they add nothing.
    let first = Array(batch.packed.starts.dropLast())
    func spread(_ rows: Tensor) throws -> Tensor {
      let all = try allocate([batch.packed.rows, query.width], .f32)
      try zero(all)
      try scatterAddRows(rows, first, to: all)
      return all
    }
    let queries = try spread(query)
    let forward = try encoderAttention(
      query: queries, key: key, value: value, heads: heads, scale: scale, causal: false, precision: .f32,
      wantsLogSumExp: true, batch)
    let joint = try encoderAttentionGradient(
      spread(g), query: queries, key: key, value: value, output: forward.output,
      logSumExp: forward.requireLogSumExp(), heads: heads, scale: scale, causal: false, precision: .f32, batch
    )
    return (
      try gatherRows(joint.columns(0..<query.width), first), try joint.columns(query.width..<joint.width)
    )
  }

  public func adamWClearing(
    _ parameter: Tensor, gradient: Tensor, firstMoment: Tensor, secondMoment: Tensor, _ step: AdamWStep
  ) throws {
    try adamW(parameter, gradient: gradient, firstMoment: firstMoment, secondMoment: secondMoment, step)
    try zero(gradient)
  }
}

/// A loss's value and gradient.
public struct LossResult: Sendable {
  /// `[rows]`.
  public let losses: Tensor
  /// Of the sum of the losses with respect to the logits: `[rows, K]`.
  public let gradient: Tensor

  public init(losses: Tensor, gradient: Tensor) {
    self.losses = losses
    self.gradient = gradient
  }
}

/// The numbers of one AdamW step.
public struct AdamWStep: Sendable, Hashable {
  public var learningRate: Float
  public var beta1: Float
  public var beta2: Float
  public var epsilon: Float
  /// Decoupled: the parameter shrinks by `learningRate · weightDecay` first.
  public var weightDecay: Float
  /// `1 − beta1^t` and `1 − beta2^t` at step t.
  public var firstCorrection: Float
  public var secondCorrection: Float
  /// What gradients are multiplied by; below 1 where clipping holds them back.
  public var gradientScale: Float

  /// - Parameter step: the step's number, from 1.
  public init(
    learningRate: Float, beta1: Float = 0.9, beta2: Float = 0.999, epsilon: Float = 1e-8,
    weightDecay: Float, step: Int, gradientScale: Float = 1
  ) {
    self.learningRate = learningRate
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    firstCorrection = Float(1 - Basics.power(Double(beta1), Double(step)))
    secondCorrection = Float(1 - Basics.power(Double(beta2), Double(step)))
    self.gradientScale = gradientScale
  }
}
