import Basics

/// Which draws a dropout makes: ``Dropout`` of one place in one step.
public struct DropoutDraws: Sendable, Hashable {
  /// 0 for none.
  public let rate: Float
  /// Of the step.
  public let key: UInt64
  /// Of the place in the model.
  public let stream: UInt64

  public init(rate: Float, key: UInt64, stream: UInt64) {
    self.rate = rate
    self.key = key
    self.stream = stream
  }
}

/// `sum = residual + dropout(x)` and its layer norm: what ends each half of an encoder's layer.
public struct ResidualNorm: Operation {
  public static let name = "residual_norm"
  public let outputShape: Shape
  private let keepsSum: Bool

  /// - Parameter keepsSum: whether the sum is a result too, as in training.
  public init(
    _ x: Shape, residual: Shape, weight: Shape, bias: Shape, rate: Float, keepsSum: Bool = true
  ) throws {
    try Self.require(x.rank == 2 && x[1] > 0 && residual == x, "input \(x) beside \(residual)")
    try Self.require(weight == [x[1]] && bias == [x[1]], "weight \(weight), bias \(bias) do not fit \(x)")
    try Self.require(rate >= 0 && rate < 1, "rate \(rate) is not from 0 up to 1")
    outputShape = x
    self.keepsSum = keepsSum
  }

  public var flops: Int { outputShape.count * 17 }
  public var bytes: Int { outputShape.count * (keepsSum ? 16 : 12) }
}

extension Tape {
  /// The layer norm of `residual + dropout(x weightᵀ + bias)`.
  ///
  /// - Throws: what the backend throws.
  public func linearResidualNorm(
    _ x: Variable, weight: Variable, bias: Variable, residual: Variable, normWeight: Variable,
    normBias: Variable, epsilon: Float, _ draws: DropoutDraws
  ) throws -> Variable {
    let product = try linearValue(x, weight, bias: bias)
    let (sum, y) = try backend.residualNorm(
      product, residual: residual.value, weight: normWeight.value, bias: normBias.value, epsilon: epsilon,
      draws)
    return record(y, from: [x, weight, bias, residual, normWeight, normBias]) { [self] g in
      let sums = try [normWeight, normBias, bias].map { try self.sum(for: $0) }
      let gradients = try backend.residualNormGradient(
        g, sum: sum, weight: normWeight.value, epsilon: epsilon, draws, weightSum: sums[0],
        biasSum: sums[1], columnSum: sums[2])
      for (sum, variable) in zip(sums, [normWeight, normBias, bias]) { try settle(sum, to: variable) }
      try linearGradients(gradients.x, x, weight)
      // Nothing else reads it from here on.
      try add(gradients.residual, to: residual, isOwn: true)
    }
  }

  /// `GELU(x weightᵀ + bias)`.
  ///
  /// - Throws: what the backend throws.
  public func linearGELU(_ x: Variable, _ weight: Variable, bias: Variable, _ form: GELU.Form) throws
    -> Variable
  {
    let product = try linearValue(x, weight, bias: bias)
    return record(try backend.gelu(product, form), from: [x, weight, bias]) { [self] g in
      let sum = try sum(for: bias)
      let gradient = try backend.geluGradient(g, x: product, form, columnSum: sum)
      try settle(sum, to: bias)
      try linearGradients(gradient, x, weight)
    }
  }
}
