import Basics

/// Text forced after generation, and token paths whose conditional probabilities are read there: for a label
/// read off as a distribution.
public struct ForcedChoice: Sendable, Hashable {
  /// Where generation stopped at the cue itself, that text is cut before the cue is appended.
  public let cueTokens: [Int32]
  /// For each path after the cue, the next tokens to read.
  public let queries: [Query]

  public struct Query: Sendable, Hashable {
    public let path: [Int32]
    public let tokens: [Int32]

    public init(path: [Int32], tokens: [Int32]) {
      self.path = path
      self.tokens = tokens
    }
  }

  public init(cueTokens: [Int32], queries: [Query]) {
    self.cueTokens = cueTokens
    self.queries = queries
  }
}

/// One sequence to generate.
public struct GenerationRequest: Sendable {
  public var prompt: [Int32]
  public var sampling: SamplingParameters
  public var maxTokens: Int
  /// Generation ends before the first of these.
  public var stopStrings: [String]
  /// Ends generation; not part of the result.
  public var endTokens: Set<Int32>
  /// Whether to keep each generated token's log-probability.
  public var wantsLogProbabilities: Bool
  public var forcedChoice: ForcedChoice?

  public init(
    prompt: [Int32], sampling: SamplingParameters = SamplingParameters(), maxTokens: Int,
    stopStrings: [String] = [], endTokens: Set<Int32> = [], wantsLogProbabilities: Bool = false,
    forcedChoice: ForcedChoice? = nil
  ) {
    self.prompt = prompt
    self.sampling = sampling
    self.maxTokens = maxTokens
    self.stopStrings = stopStrings
    self.endTokens = endTokens
    self.wantsLogProbabilities = wantsLogProbabilities
    self.forcedChoice = forcedChoice
  }
}

public enum FinishReason: String, Sendable {
  /// An end token or a stop string.
  case stop
  /// `maxTokens`, or the context is full.
  case length
}

/// What became of a request.
public struct Completion: Sendable {
  public let promptTokens: Int
  /// Generated ids, end token excluded.
  public let tokens: [Int32]
  /// Natural logarithm of each token's probability, where asked for.
  public let logProbabilities: [Float]
  /// Generated text up to the stop string.
  public let text: String
  public let finishReason: FinishReason
  /// For each query of the forced choice, log-probabilities of its tokens.
  public let choiceLogProbabilities: [[Float]]
}
