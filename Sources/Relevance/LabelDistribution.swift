import Basics
import Foundation

/// A probability for each label of a set, and what follows from it.
public struct LabelDistribution: Sendable, Equatable {
  public let labels: LabelSet
  /// In label-set order, summing to 1.
  public let probabilities: [Double]
  /// The place of the most probable label; of equals the first.
  public let index: Int

  /// Normalises `probabilities` over the label set.
  ///
  /// - Throws: `invalidArgument` where the count differs from the label set's, a value is negative or not finite,
  ///   or all are zero.
  public init(labels: LabelSet, probabilities: [Double]) throws {
    let total = probabilities.reduce(0, +)
    guard probabilities.count == labels.count, total.isFinite, total > 0,
      probabilities.allSatisfy({ $0 >= 0 })
    else {
      throw RetortError(
        .invalidArgument, "expected \(labels.count) probabilities, found \(probabilities)",
        field: "probabilities", remedy: "Give each label a number of at least 0, not all of them 0.")
    }
    self.labels = labels
    let normalised = probabilities.map { $0 / total }
    self.probabilities = normalised
    index = normalised.indices.reduce(0) { normalised[$1] > normalised[$0] ? $1 : $0 }
  }

  /// The most probable label.
  public var label: Label { labels.labels[index] }

  /// The expected gain.
  public var score: Double { zip(labels.labels, probabilities).reduce(0) { $0 + $1.0.gain * $1.1 } }

  /// The entropy as a share of its largest value: 0 for one sure label, 1 for all labels alike.
  public var normalizedEntropy: Double {
    let entropy = probabilities.reduce(0) { $1 > 0 ? $0 - $1 * log($1) : $0 }
    return min(max(entropy / log(Double(labels.count)), 0), 1)
  }
}
