import Basics

/// How the next token is chosen.
public struct SamplingParameters: Sendable, Hashable {
  /// 0 is greedy.
  public var temperature: Float
  /// Keep the k most likely tokens; 0 keeps all.
  public var topK: Int
  /// Keep the most likely tokens that together reach this probability; 1 keeps all.
  public var topP: Float
  /// Drop tokens less likely than this share of the most likely one; 0 drops none.
  public var minP: Float
  /// Above 1, tokens already in the sequence become less likely.
  public var repetitionPenalty: Float
  public var seed: UInt64

  public init(
    temperature: Float = 0, topK: Int = 0, topP: Float = 1, minP: Float = 0, repetitionPenalty: Float = 1,
    seed: UInt64 = 0
  ) {
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    self.minP = minP
    self.repetitionPenalty = repetitionPenalty
    self.seed = seed
  }

  /// - Throws: `invalidArgument` naming the option that is out of range.
  public func validate() throws {
    func check(_ condition: Bool, _ field: String, _ range: String) throws {
      guard condition else {
        throw RetortError(.invalidArgument, "out of range", field: field, remedy: "Give \(range).")
      }
    }
    try check(temperature >= 0 && temperature.isFinite, "temperature", "a number from 0 up")
    try check(topK >= 0, "top-k", "a whole number from 0 (all) up")
    try check(topP > 0 && topP <= 1, "top-p", "a number above 0 and at most 1")
    try check(minP >= 0 && minP < 1, "min-p", "a number from 0 to below 1")
    try check(
      repetitionPenalty > 0 && repetitionPenalty.isFinite, "repetition-penalty", "a number above 0")
  }

  /// Sampling from the whole vocabulary needs no candidates: noise is added on the device.
  var isUntruncated: Bool {
    temperature > 0 && topK == 0 && topP >= 1 && minP <= 0 && repetitionPenalty == 1
  }
}
