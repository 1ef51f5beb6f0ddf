import Basics

/// `y = x / √(mean(x²) + ε) · weight` (Zhang and Sennrich, 2019).
public struct RMSNorm: Operation {
  public static let name = "rms_norm"
  public let rows: Int
  public let width: Int
  public let epsilon: Float

  public init(x: Shape, weight: Shape, epsilon: Float) throws {
    try Self.require(x.rank == 2 && x[1] > 0, "input \(x) is not [rows, width]")
    try Self.require(weight == [x[1]], "weight \(weight) does not fit input \(x)")
    rows = x[0]
    width = x[1]
    self.epsilon = epsilon
  }

  public var outputShape: Shape { [rows, width] }
  public var flops: Int { rows * width * 4 }
  public var bytes: Int { (2 * rows + 1) * width * 4 }
}

extension Tape {
  /// Root-mean-square norm of every row with a trained weight.
  public func rmsNorm(_ x: Variable, weight: Variable, epsilon: Float) throws -> Variable {
    let y = try backend.rmsNorm(x.value, weight: weight.value, epsilon: epsilon)
    return record(y, from: [x, weight]) { [self] g in
      let weightSum = try sum(for: weight)
      let gradient = try backend.rmsNormGradient(
        g, x: x.value, weight: weight.value, epsilon: epsilon, weightSum: weightSum)
      try settle(weightSum, to: weight)
      try add(gradient, to: x)
    }
  }
}
