import Basics

/// The tokens that a row may choose from, one bit an id.
public struct AllowedTokens: Sendable, Hashable {
  /// Bit `id % 32` of word `id / 32`.
  public let words: [UInt32]
  /// How many ids are allowed.
  public let count: Int

  public init(words: [UInt32]) {
    self.words = words
    count = words.reduce(0) { $0 + $1.nonzeroBitCount }
  }

  /// Whether an id is allowed; ids beyond the words are not.
  public func contains(_ id: Int32) -> Bool {
    guard id >= 0, Int(id) >> 5 < words.count else { return false }
    return words[Int(id) >> 5] >> UInt32(id & 31) & 1 != 0
  }
}

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
  /// Where set, every other token's logit counts as −∞ after the penalty: the highest logits are the highest allowed
  /// ones, fewer than ``topCount`` where fewer are allowed, and probabilities are normalised over the allowed set.
  public var allowed: AllowedTokens?

  public init(
    temperature: Float = 1, topCount: Int = 1, chosen: [Int32] = [], penalized: [Int32] = [],
    repetitionPenalty: Float = 1, allowed: AllowedTokens? = nil
  ) {
    self.temperature = temperature
    self.topCount = topCount
    self.chosen = chosen
    self.penalized = penalized
    self.repetitionPenalty = repetitionPenalty
    self.allowed = allowed
  }
}

extension LogProbabilityRequest {
  /// One request a temperature, with the masks where there are any, to check a draw's arguments by.
  ///
  /// - Throws: `shapeMismatch` where there are masks, but not one entry a row.
  public static func sampling(_ temperatures: [Float], allowed: [AllowedTokens?]) throws
    -> [LogProbabilityRequest]
  {
    guard allowed.isEmpty || allowed.count == temperatures.count else {
      throw RetortError(
        .shapeMismatch, "\(allowed.count) masks for \(temperatures.count) rows",
        remedy: "Give no masks or one entry a row.")
    }
    return temperatures.enumerated().map { row, temperature in
      LogProbabilityRequest(temperature: temperature, allowed: allowed.isEmpty ? nil : allowed[row])
    }
  }
}

/// What was read back of one row of logits.
public struct LogProbabilityRow: Sendable, Hashable {
  /// The highest logits' token ids, highest first; ties go to the lower id.
  public var topIDs: [Int32]
  /// Their logits (after the penalty).
  public var topLogits: [Float]
  /// Natural logarithm of Σ exp(logit) over the allowed tokens.
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
