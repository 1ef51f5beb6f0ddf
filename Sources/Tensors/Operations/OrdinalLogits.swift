import Basics

/// Log-probabilities of ordered classes from one number: `P(y > k) = σ(slope · (x − thresholds[k]))`, the
/// cumulative link model (McCullagh, 1980).
///
/// With a = slope · (x − thresholds[k − 1]) and b = slope · (x − thresholds[k]), class k has
/// `ln(σ(a) − σ(b)) = ln σ(a) + ln σ(−b) + ln(1 − e^(b − a))`, which stays exact where both are close to 0 or 1.
public struct OrdinalLogits: Operation {
  public static let name = "ordinal_logits"
  public let rows: Int
  public let classes: Int

  public init(_ x: Shape, slope: Shape, thresholds: Shape) throws {
    try Self.require(
      x.rank == 2 && x[1] == 1 && slope == [1] && thresholds.rank == 1 && thresholds[0] > 0,
      "input \(x), slope \(slope), thresholds \(thresholds)")
    rows = x[0]
    classes = thresholds[0] + 1
  }

  public var outputShape: Shape { [rows, classes] }
  public var flops: Int { rows * classes * 12 }
  public var bytes: Int { rows * (classes + 1) * 4 }
}

extension Tape {
  /// Log-probabilities of ordered classes; slope and thresholds are trained.
  public func ordinalLogits(_ x: Variable, slope: Variable, thresholds: Variable) throws -> Variable {
    let y = try backend.ordinalLogits(x.value, slope: slope.value, thresholds: thresholds.value)
    return record(y, from: [x, slope, thresholds]) { [self] g in
      let (slopeSum, thresholdsSum) = (try sum(for: slope), try sum(for: thresholds))
      let gradient = try backend.ordinalLogitsGradient(
        g, x: x.value, slope: slope.value, thresholds: thresholds.value, slopeSum: slopeSum,
        thresholdsSum: thresholdsSum)
      try settle(slopeSum, to: slope)
      try settle(thresholdsSum, to: thresholds)
      try add(gradient, to: x)
    }
  }
}
