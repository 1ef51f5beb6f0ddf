import Basics

/// Log-probabilities of ordered classes from one number: `P(y > k) = σ(α · (x − θ[k]))`, the cumulative link model
/// (McCullagh, 1980).
///
/// The parameters are `[ln α, θ[0], ln(θ[1] − θ[0]), …]`, so that α stays positive and the thresholds in order. With
/// `z[k] = α (x − θ[k])` class k has `ln(σ(z[k − 1]) − σ(z[k])) = ln σ(z[k − 1]) + ln σ(−z[k]) + ln(1 − e^−m)`, where
/// `m = α (θ[k] − θ[k − 1])`: exact where the probability is small.
public struct OrdinalLogits: Operation {
  public static let name = "ordinal_logits"
  public let rows: Int
  public let classes: Int

  public init(_ x: Shape, parameters: Shape) throws {
    try Self.require(
      x.rank == 2 && x[1] == 1 && parameters.rank == 1 && parameters[0] > 1,
      "input \(x) with parameters \(parameters)")
    rows = x[0]
    classes = parameters[0]
  }

  public var outputShape: Shape { [rows, classes] }
  public var flops: Int { rows * classes * 12 }
  public var bytes: Int { rows * (classes + 1) * 4 }
}

/// The gradients of ``OrdinalLogits``: of `x`, and of the parameters, which are added to a sum.
public struct OrdinalLogitsGradient: Operation {
  public static let name = "ordinal_logits_gradient"
  public let rows: Int
  public let classes: Int

  /// - Parameter g: the gradient of the log-probabilities.
  public init(_ g: Shape, x: Shape, parameters: Shape, sum: Shape) throws {
    let forward = try OrdinalLogits(x, parameters: parameters)
    try Self.require(
      g == forward.outputShape && sum == parameters,
      "gradient \(g) of \(forward.outputShape) into \(sum) for parameters \(parameters)")
    (rows, classes) = (forward.rows, forward.classes)
  }

  public var outputShape: Shape { [rows, 1] }
  public var flops: Int { rows * classes * 16 }
  public var bytes: Int { rows * (classes + 2) * 4 }
}

extension Tape {
  /// Log-probabilities of ordered classes with trained parameters.
  public func ordinalLogits(_ x: Variable, parameters: Variable) throws -> Variable {
    let y = try backend.ordinalLogits(x.value, parameters: parameters.value)
    return record(y, from: [x, parameters]) { [self] g in
      let sum = try sum(for: parameters)
      let gradient = try backend.ordinalLogitsGradient(
        g, x: x.value, parameters: parameters.value, sum: sum)
      try settle(sum, to: parameters)
      try add(gradient, to: x)
    }
  }
}
