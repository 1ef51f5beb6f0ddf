import Foundation

/// How far label distributions of one computation lie from those of another.
public struct LabelAgreement: Sendable, Equatable {
  public let pairs: Int
  /// Pairs whose most probable label differs.
  public let flips: Int
  /// Flips after what the reference gives each label on average is taken away (the mean of its ln p, from both).
  ///
  /// A teacher that names one label for nearly every pair flips none however coarse the computation; this count
  /// shows what happens to its order of preference, as after a calibration.
  public let centredFlips: Int
  /// The largest lead of the reference's label over its next one, among flipped pairs; 0 without a flip.
  public let maximumFlippedMargin: Double
  /// Total variation: half the sum of absolute differences, from 0 to 1.
  public let meanTotalVariation: Double
  public let maximumTotalVariation: Double
  /// The mean of Σ p·ln(p/q) in nats, with p the reference.
  public let meanDivergence: Double
  /// Pearson's correlation of the expected gains; nil where one side's do not vary.
  public let scoreCorrelation: Double?

  /// - Parameter pairs: distributions over one label set.
  public init(_ pairs: [(reference: LabelDistribution, candidate: LabelDistribution)]) {
    let differences = pairs.map { Difference($0.reference, $0.candidate) }
    let count = Double(max(1, pairs.count))
    self.pairs = pairs.count
    flips = differences.count { $0.isFlip }
    maximumFlippedMargin = differences.filter(\.isFlip).map(\.margin).max() ?? 0
    meanTotalVariation = differences.reduce(0) { $0 + $1.totalVariation } / count
    maximumTotalVariation = differences.map(\.totalVariation).max() ?? 0
    meanDivergence = differences.reduce(0) { $0 + $1.divergence } / count
    centredFlips = LabelAgreement.centredFlips(pairs)
    scoreCorrelation = LabelAgreement.correlation(pairs.map { ($0.reference.score, $0.candidate.score) })
  }

  private struct Difference {
    let isFlip: Bool
    let totalVariation: Double
    let divergence: Double
    let margin: Double

    init(_ p: LabelDistribution, _ q: LabelDistribution) {
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

  private static func centredFlips(_ pairs: [(reference: LabelDistribution, candidate: LabelDistribution)])
    -> Int
  {
    guard let first = pairs.first else { return 0 }
    var means = [Double](repeating: 0, count: first.reference.probabilities.count)
    for pair in pairs {
      for (label, value) in LabelCalibration.logs(pair.reference.probabilities).enumerated()
      where means.indices.contains(label) { means[label] += value / Double(pairs.count) }
    }
    func best(_ distribution: LabelDistribution) -> Int {
      let centred = zip(LabelCalibration.logs(distribution.probabilities), means).map { $0 - $1 }
      return centred.indices.reduce(0) { centred[$1] > centred[$0] ? $1 : $0 }
    }
    return pairs.count { best($0.reference) != best($0.candidate) }
  }

  private static func correlation(_ values: [(Double, Double)]) -> Double? {
    guard !values.isEmpty else { return nil }
    let count = Double(values.count)
    let mean = values.reduce((0, 0)) { ($0.0 + $1.0 / count, $0.1 + $1.1 / count) }
    var (xx, yy, xy) = (0.0, 0.0, 0.0)
    for (x, y) in values {
      xx += (x - mean.0) * (x - mean.0)
      yy += (y - mean.1) * (y - mean.1)
      xy += (x - mean.0) * (y - mean.1)
    }
    // Equal scores whose mean was rounded vary by less than this.
    guard min(xx, yy) > 1e-24 * count else { return nil }
    return xy / (xx * yy).squareRoot()
  }

  /// The share of pairs whose label differs; 0 of none.
  public var flipRate: Double { Double(flips) / Double(max(1, pairs)) }
  /// The share of ``centredFlips``; 0 of no pairs.
  public var centredFlipRate: Double { Double(centredFlips) / Double(max(1, pairs)) }

  /// Where the flip rate lies with a probability of 95 %, by Wilson's score interval; 0 to 1 of none.
  public var flipInterval: ClosedRange<Double> {
    guard pairs > 0 else { return 0...1 }
    let (n, z, p) = (Double(pairs), 1.959963984540054, flipRate)
    let centre = p + z * z / (2 * n)
    let spread = z * (p * (1 - p) / n + z * z / (4 * n * n)).squareRoot()
    let scale = 1 + z * z / n
    let lower = flips == 0 ? 0 : max(0, (centre - spread) / scale)
    return lower...(flips == pairs ? 1 : min(1, (centre + spread) / scale))
  }
}
