import Basics

/// `weight · T² · Σ t (ln t − ln softmax(z / T))` of every row, and its gradient.
public struct SoftmaxDivergence: Operation {
  public static let name = "softmax_divergence"
  public let rows: Int
  public let classes: Int

  public init(_ logits: Shape, targets: Shape, weights: Shape, temperature: Float) throws {
    try Self.require(
      logits.rank == 2 && logits[1] > 0 && targets == logits && weights == [logits[0]],
      "logits \(logits), targets \(targets), weights \(weights)")
    try Self.require(temperature > 0 && temperature.isFinite, "temperature \(temperature) is not above 0")
    (rows, classes) = (logits[0], logits[1])
  }

  public var outputShape: Shape { [rows, classes] }
  public var flops: Int { rows * classes * 10 }
  public var bytes: Int { rows * (3 * classes + 2) * 4 }
}

/// `Σ weight · (−t ln σ(z) − (1 − t) ln(1 − σ(z)))` of every row, and its gradient.
public struct SigmoidCrossEntropy: Operation {
  public static let name = "sigmoid_cross_entropy"
  public let rows: Int
  public let classes: Int

  public init(_ logits: Shape, targets: Shape, weights: Shape) throws {
    try Self.require(
      logits.rank == 2 && targets == logits && weights == logits,
      "logits \(logits), targets \(targets), weights \(weights)")
    (rows, classes) = (logits[0], logits[1])
  }

  public var outputShape: Shape { [rows, classes] }
  public var flops: Int { rows * classes * 10 }
  public var bytes: Int { rows * (4 * classes + 1) * 4 }
}

extension Tape {
  /// The row losses `[rows]` of logits against distributions, with the gradient of their sum as the seed of
  /// ``backward(_:)``.
  public func softmaxDivergence(
    _ logits: Variable, targets: Tensor, weights: Tensor, temperature: Float = 1
  ) throws -> (losses: Tensor, seed: (Variable, Tensor)) {
    let result = try backend.softmaxDivergence(
      logits.value, targets: targets, weights: weights, temperature: temperature)
    return (result.losses, (logits, result.gradient))
  }

  /// The row losses of logits of independent yes–no questions, with the gradient of their sum as the seed.
  public func sigmoidCrossEntropy(_ logits: Variable, targets: Tensor, weights: Tensor) throws
    -> (losses: Tensor, seed: (Variable, Tensor))
  {
    let result = try backend.sigmoidCrossEntropy(logits.value, targets: targets, weights: weights)
    return (result.losses, (logits, result.gradient))
  }
}
