/// A teacher's chain of thought, parsed.
public struct Rationale: Sendable, Equatable {
  /// What it says of one aspect; nil where the line is missing or its verdict is none of the three.
  public struct Judgement: Sendable, Equatable {
    public let aspect: String
    public let verdict: Verdict?
    public let reason: String?

    public init(aspect: String, verdict: Verdict?, reason: String?) {
      self.aspect = aspect
      self.verdict = verdict
      self.reason = reason
    }
  }

  /// What the query asks for, in the teacher's words.
  public let asks: String?
  /// One entry an aspect, in the order of the outline.
  public let aspects: [Judgement]
  /// The label that the text names, as the label set spells it.
  public let label: String?

  public init(asks: String?, aspects: [Judgement], label: String?) {
    self.asks = asks
    self.aspects = aspects
    self.label = label
  }

  /// The verdicts that could be read, by aspect.
  public var verdicts: [String: Verdict] {
    aspects.reduce(into: [:]) { $0[$1.aspect] = $1.verdict }
  }
}
