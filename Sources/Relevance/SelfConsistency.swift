import Basics

/// What several rationales of a pair say together (self-consistency, Wang et al., arXiv 2203.11171).
///
/// Each rationale votes for the most probable label of its distribution; the distribution of all is their mean.
public struct SelfConsistency: Sendable, Equatable {
  /// How many rationales name each label, in label-set order.
  public let votes: [Int]
  /// The mean of the rationales' distributions.
  public let distribution: LabelDistribution
  /// The place of the label with the most votes; of equals the one with the higher mean probability, then the first.
  public let index: Int
  /// The place of the kept rationale: of those that vote for the label the one that is surest of it, of equals the
  /// first.
  public let kept: Int

  /// - Throws: `invalidArgument` where there is no distribution, or they are over different label sets.
  public init(_ distributions: [LabelDistribution]) throws {
    guard let first = distributions.first, distributions.allSatisfy({ $0.labels == first.labels }) else {
      throw RetortError(
        .invalidArgument, "expected distributions over one label set, found \(distributions.count)",
        field: "samples", remedy: "Give one distribution a rationale, all over the same labels.")
    }
    var votes = [Int](repeating: 0, count: first.labels.count)
    var sums = [Double](repeating: 0, count: first.labels.count)
    for distribution in distributions {
      votes[distribution.index] += 1
      for place in sums.indices { sums[place] += distribution.probabilities[place] }
    }
    // One distribution is its own mean, to the last bit.
    let mean =
      distributions.count == 1
      ? first
      : try LabelDistribution(
        labels: first.labels, probabilities: sums.map { $0 / Double(distributions.count) })
    let index = votes.indices.reduce(0) { best, place in
      let isBetter =
        (votes[place], mean.probabilities[place]) > (votes[best], mean.probabilities[best])
      return isBetter ? place : best
    }
    let agreeing = distributions.indices.filter { distributions[$0].index == index }
    kept = agreeing.reduce(agreeing[0]) {
      distributions[$1].probabilities[index] > distributions[$0].probabilities[index] ? $1 : $0
    }
    self.votes = votes
    self.index = index
    distribution = mean
  }

  /// The label with the most votes.
  public var label: Label { distribution.labels.labels[index] }

  /// The share of the votes that the label has.
  public var voteShare: Double { Double(votes[index]) / Double(votes.reduce(0, +)) }
}
