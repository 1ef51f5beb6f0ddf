/// A student's judgement of a pair, as `retort score` writes it and `retort eval` reads it.
public struct ScoreRecord: Sendable {
  public let pairID: String
  public let queryID: String?
  public let itemID: String?
  public let distribution: LabelDistribution
  /// What the student says of each aspect, where it was asked.
  public let verdicts: [(aspect: String, verdict: Verdict)]
  /// Of query and item, where the student compares vectors.
  public let cosine: Double?

  public init(
    _ pair: Pair, _ distribution: LabelDistribution, verdicts: [(aspect: String, verdict: Verdict)] = [],
    cosine: Double? = nil
  ) {
    (pairID, queryID, itemID) = (pair.pairID, pair.queryID, pair.itemID)
    self.distribution = distribution
    self.verdicts = verdicts
    self.cosine = cosine
  }

  /// The record as JSON on one line without its line break; equal records give equal bytes.
  public var json: String {
    var writer = JSONWriter()
    writer.object { record in
      record.field("pair_id", pairID)
      if let queryID { record.field("query_id", queryID) }
      if let itemID { record.field("item_id", itemID) }
      record.field("label", distribution.label.name)
      record.key("probabilities")
      record.object { entry in
        for (label, probability) in zip(distribution.labels.labels, distribution.probabilities) {
          entry.field(label.name, probability)
        }
      }
      record.field("score", distribution.score)
      if let cosine { record.field("cosine", cosine) }
      guard !verdicts.isEmpty else { return }
      record.key("verdicts")
      record.object { entry in
        for (aspect, verdict) in verdicts { entry.field(aspect, verdict.rawValue) }
      }
    }
    return writer.text
  }
}
