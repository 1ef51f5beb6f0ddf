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
  /// The grammar that the answer follows. Its fixed text is appended without sampling and counts among `maxTokens`;
  /// towards the limit only tokens are allowed after which a legal ending fits.
  public var constraint: TokenConstraint?

  public init(
    prompt: [Int32], sampling: SamplingParameters = SamplingParameters(), maxTokens: Int,
    stopStrings: [String] = [], endTokens: Set<Int32> = [], wantsLogProbabilities: Bool = false,
    forcedChoice: ForcedChoice? = nil, constraint: TokenConstraint? = nil
  ) {
    self.prompt = prompt
    self.sampling = sampling
    self.maxTokens = maxTokens
    self.stopStrings = stopStrings
    self.endTokens = endTokens
    self.wantsLogProbabilities = wantsLogProbabilities
    self.forcedChoice = forcedChoice
    self.constraint = constraint
  }
}

public enum FinishReason: String, Sendable {
  /// An end token, a stop string, or the grammar's end.
  case stop
  /// `maxTokens`, or the context is full.
  case length
  /// The grammar's end, in a text that the limit has shortened.
  case truncated
}

/// What became of a request.
public struct Completion: Sendable {
  public let promptTokens: Int
  /// Generated ids, end token excluded.
  public let tokens: [Int32]
  /// How many of `tokens` were appended without sampling, since the grammar left no choice.
  public let jumpedTokens: Int
  /// Places in `tokens` at which the limit left less to choose from than the grammar does, in rising order: what
  /// stands there may not be what the model would have written.
  public let limitedTokens: [Int]
  /// Natural logarithm of each token's probability among the allowed ones, where asked for; 0 for jumped tokens.
  public let logProbabilities: [Float]
  /// Generated text up to the stop string.
  public let text: String
  public let finishReason: FinishReason
  /// For each query of the forced choice, log-probabilities of its tokens.
  public let choiceLogProbabilities: [[Float]]
}
