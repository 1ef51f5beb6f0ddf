/// One labelled pair, as a line of `labels.jsonl`.
public struct LabelRecord: Sendable, Equatable {
  public let pairID: String
  public let queryID: String?
  public let itemID: String?
  public let distribution: LabelDistribution
  /// The teacher's text, or nil where it gave none.
  public let rationale: String?
  /// One entry an aspect of the outline, in its order; nil where the text gives none.
  public let verdicts: [(aspect: String, verdict: Verdict?)]
  public let promptTokens: Int
  /// Tokens of the rationale, those of fixed text with them.
  public let generatedTokens: Int
  /// How many of those were fixed text, put in without sampling.
  public let jumpedTokens: Int
  /// Whether the limit of its length has shortened the rationale.
  public let isTruncated: Bool
  /// The model's name or hash.
  public let model: String
  public let promptHash: String

  public init(
    pair: Pair, distribution: LabelDistribution, rationaleText: String?, rationale: Rationale?,
    outline: RationaleOutline = .standard, promptTokens: Int, generatedTokens: Int, jumpedTokens: Int = 0,
    isTruncated: Bool = false, model: String, promptHash: String
  ) {
    pairID = pair.pairID
    queryID = pair.queryID
    itemID = pair.itemID
    self.distribution = distribution
    self.rationale = rationaleText
    let read = rationale?.verdicts ?? [:]
    verdicts = outline.names.map { ($0, read[$0]) }
    self.promptTokens = promptTokens
    self.generatedTokens = generatedTokens
    self.jumpedTokens = jumpedTokens
    self.isTruncated = isTruncated
    self.model = model
    self.promptHash = promptHash
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
      record.field("rationale", rationale)
      record.key("verdicts")
      record.object { entry in
        for (aspect, verdict) in verdicts { entry.field(aspect, verdict?.rawValue) }
      }
      record.key("tokens")
      record.object { entry in
        entry.field("prompt", promptTokens)
        entry.field("generated", generatedTokens)
        entry.field("jumped", jumpedTokens)
      }
      record.field("truncated", isTruncated)
      record.field("model", model)
      record.field("prompt_hash", promptHash)
    }
    return writer.text
  }

  public static func == (left: LabelRecord, right: LabelRecord) -> Bool { left.json == right.json }
}
