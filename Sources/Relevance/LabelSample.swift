/// One rationale of a pair with the label distribution that follows it.
public struct LabelSample: Sendable, Equatable {
  public let distribution: LabelDistribution
  /// The teacher's text, or nil where it gave none.
  public let rationale: String?
  /// The verdicts that could be read, by aspect.
  public let verdicts: [String: Verdict]
  /// Tokens of the rationale, those of fixed text with them.
  public let generatedTokens: Int
  /// How many of those were fixed text, put in without sampling.
  public let jumpedTokens: Int
  /// Whether the limit of its length has shortened the rationale.
  public let isTruncated: Bool

  public init(
    distribution: LabelDistribution, rationaleText: String?, rationale: Rationale?, generatedTokens: Int,
    jumpedTokens: Int = 0, isTruncated: Bool = false
  ) {
    self.distribution = distribution
    self.rationale = rationaleText
    verdicts = rationale?.verdicts ?? [:]
    self.generatedTokens = generatedTokens
    self.jumpedTokens = jumpedTokens
    self.isTruncated = isTruncated
  }
}
