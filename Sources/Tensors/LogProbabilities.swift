import Basics

/// What to read back of one row of logits.
public struct LogProbabilityRequest: Sendable, Hashable {
  /// Divides the logits before ``LogProbabilityRow/logSumExpAtTemperature``; 1 for none.
  public var temperature: Float
  /// How many of the highest logits to return.
  public var topCount: Int
  /// Further token ids whose log-probabilities to return.
  public var chosen: [Int32]
  /// Tokens whose logits are penalised first: a positive logit is divided by ``repetitionPenalty``, a
  /// negative one multiplied (Keskar et al., CTRL).
  public var penalized: [Int32]
  public var repetitionPenalty: Float

  public init(
    temperature: Float = 1, topCount: Int = 1, chosen: [Int32] = [], penalized: [Int32] = [],
    repetitionPenalty: Float = 1
  ) {
    self.temperature = temperature
    self.topCount = topCount
    self.chosen = chosen
    self.penalized = penalized
    self.repetitionPenalty = repetitionPenalty
  }
}

/// What was read back of one row of logits.
public struct LogProbabilityRow: Sendable, Hashable {
  /// The highest logits' token ids, highest first; ties go to the lower id.
  public var topIDs: [Int32]
  /// Their logits (after the penalty).
  public var topLogits: [Float]
  /// Natural logarithm of Σ exp(logit).
  public var logSumExp: Float
  /// Natural logarithm of Σ exp(logit / temperature).
  public var logSumExpAtTemperature: Float
  /// Natural-logarithm probabilities of the chosen ids, in the request's order.
  public var chosenLogProbabilities: [Float]

  public init(
    topIDs: [Int32], topLogits: [Float], logSumExp: Float, logSumExpAtTemperature: Float,
    chosenLogProbabilities: [Float]
  ) {
    self.topIDs = topIDs
    self.topLogits = topLogits
    self.logSumExp = logSumExp
    self.logSumExpAtTemperature = logSumExpAtTemperature
    self.chosenLogProbabilities = chosenLogProbabilities
  }
}
