import Basics

/// `y = (x − mean) / √(variance + ε) · weight + bias` (Ba et al., 2016).
public struct LayerNorm: Operation {
  public static let name = "layer_norm"
  public let rows: Int
  public let width: Int
  public let epsilon: Float

  public init(x: Shape, weight: Shape, bias: Shape, epsilon: Float) throws {
    try Self.require(x.rank == 2 && x[1] > 0, "input \(x) is not [rows, width]")
    try Self.require(weight == [x[1]] && bias == [x[1]], "weight \(weight), bias \(bias) do not fit \(x)")
    rows = x[0]
    width = x[1]
    self.epsilon = epsilon
  }

  public var outputShape: Shape { [rows, width] }
  public var flops: Int { rows * width * 8 }
  public var bytes: Int { (2 * rows + 2) * width * 4 }
}

extension Tape {
  /// Layer norm of every row with a trained weight and bias.
  public func layerNorm(_ x: Variable, weight: Variable, bias: Variable, epsilon: Float) throws -> Variable {
    let y = try backend.layerNorm(x.value, weight: weight.value, bias: bias.value, epsilon: epsilon)
    return record(y, from: [x, weight, bias]) { [self] g in
      let (weightSum, biasSum) = (try sum(for: weight), try sum(for: bias))
      let gradient = try backend.layerNormGradient(
        g, x: x.value, weight: weight.value, epsilon: epsilon, weightSum: weightSum, biasSum: biasSum)
      try settle(weightSum, to: weight)
      try settle(biasSum, to: bias)
      try add(gradient, to: x)
    }
  }
}
