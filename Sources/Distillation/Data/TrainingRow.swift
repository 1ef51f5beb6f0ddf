import Relevance
import Tokenizers

/// A pair as a student trains on it.
public struct TrainingRow: Sendable {
  public let pairID: String
  /// One text for an interaction student, query and item for a representation student.
  public let texts: [EncodedText]
  /// The place of the human label in the label set.
  public let label: Int?
  /// What the teacher says, where there is a record for the pair.
  public let teacher: Teacher?

  /// A teacher's judgement.
  public struct Teacher: Sendable {
    /// p_T in label-set order.
    public let probabilities: [Double]
    /// One entry an aspect; nil where none was read.
    public let verdicts: [Verdict?]
    /// `1 − H(p_T) / ln K`: how much the row counts in the teacher's terms.
    public let certainty: Double

    public init(_ distribution: LabelDistribution, verdicts: [Verdict?]) {
      probabilities = distribution.probabilities
      certainty = 1 - distribution.normalizedEntropy
      self.verdicts = verdicts
    }
  }

  public init(pairID: String, texts: [EncodedText], label: Int?, teacher: Teacher?) {
    self.pairID = pairID
    self.texts = texts
    self.label = label
    self.teacher = teacher
  }

  public var tokens: Int { texts.reduce(0) { $0 + $1.ids.count } }
}
