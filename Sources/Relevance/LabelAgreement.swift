import Foundation

/// How far label distributions of one computation lie from those of another, pair by pair.
public struct LabelAgreement: Sendable, Equatable {
  /// One pair's distributions, both in label-set order.
  public struct Difference: Sendable, Equatable {
    /// Whether the most probable label differs.
    public let isFlip: Bool
    /// Half the sum of absolute differences: from 0 to 1.
    public let totalVariation: Double
    /// Σ p·ln(p/q) in nats, with p the reference.
    public let divergence: Double
    /// The reference's highest probability less its second: how near it is to a tie.
    public let margin: Double

    public init(reference p: LabelDistribution, candidate q: LabelDistribution) {
      let pairs = zip(p.probabilities, q.probabilities)
      isFlip = p.index != q.index
      totalVariation = pairs.reduce(0) { $0 + abs($1.0 - $1.1) } / 2
      let sum = pairs.reduce(0) { sum, pair in
        pair.0 > 0 ? sum + pair.0 * log(pair.0 / max(pair.1, LabelCalibration.leastProbability)) : sum
      }
      // Rounding may leave a sum of equal distributions just below 0.
      divergence = max(0, sum)
      let sorted = p.probabilities.sorted(by: >)
      margin = sorted.count > 1 ? sorted[0] - sorted[1] : 1
    }
  }

  public private(set) var pairs = 0
  public private(set) var flips = 0
  public private(set) var maximumTotalVariation = 0.0
  /// The largest margin that the reference had where the label flipped; 0 without a flip.
  public private(set) var maximumFlippedMargin = 0.0
  private var totalVariations = 0.0
  private var divergences = 0.0

  public init() {}

  public mutating func add(_ difference: Difference) {
    pairs += 1
    totalVariations += difference.totalVariation
    divergences += difference.divergence
    maximumTotalVariation = max(maximumTotalVariation, difference.totalVariation)
    guard difference.isFlip else { return }
    flips += 1
    maximumFlippedMargin = max(maximumFlippedMargin, difference.margin)
  }

  /// The share of pairs whose label differs; 0 of none.
  public var flipRate: Double { Double(flips) / Double(max(1, pairs)) }
  public var meanTotalVariation: Double { totalVariations / Double(max(1, pairs)) }
  public var meanDivergence: Double { divergences / Double(max(1, pairs)) }

  /// Where the flip rate lies with a probability of 95 %, by Wilson's score interval; 0 to 1 of none.
  public var flipInterval: ClosedRange<Double> {
    guard pairs > 0 else { return 0...1 }
    let (n, z, p) = (Double(pairs), 1.959963984540054, flipRate)
    let centre = p + z * z / (2 * n)
    let spread = z * (p * (1 - p) / n + z * z / (4 * n * n)).squareRoot()
    let scale = 1 + z * z / n
    return max(0, (centre - spread) / scale)...min(1, (centre + spread) / scale)
  }
}
