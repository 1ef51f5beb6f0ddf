/// One labelled pair, as a line of `labels.jsonl`.
public struct LabelRecord: Sendable, Equatable {
  /// How a pair's rationales were sampled, as records tell it.
  public struct Sampling: Sendable, Equatable {
    /// Rationales asked for; where some failed, the votes are fewer.
    public var samples: Int
    public var temperature: Double
    public var topP: Double
    public var seed: UInt64
    /// Whether the record keeps every rationale.
    public var keepsAll: Bool

    public init(samples: Int, temperature: Double, topP: Double = 1, seed: UInt64 = 0, keepsAll: Bool = false)
    {
      self.samples = samples
      self.temperature = temperature
      self.topP = topP
      self.seed = seed
      self.keepsAll = keepsAll
    }
  }

  public let pairID: String
  public let queryID: String?
  public let itemID: String?
  /// The most probable label, or with several rationales the one that most of them name.
  public let label: Label
  public let distribution: LabelDistribution
  /// The teacher's text, or nil where it gave none.
  public let rationale: String?
  /// One entry an aspect of the outline, in its order; nil where the text gives none.
  public let verdicts: [(aspect: String, verdict: Verdict?)]
  public let promptTokens: Int
  /// Tokens of the rationales, those of fixed text with them.
  public let generatedTokens: Int
  /// How many of those were fixed text, put in without sampling.
  public let jumpedTokens: Int
  /// Whether the limit of its length has shortened the rationale.
  public let isTruncated: Bool
  /// The model's name or hash.
  public let model: String
  public let promptHash: String
  /// What was applied to the model's own distribution; nil where it is as the model gave it.
  public let calibration: LabelCalibration?
  /// What several rationales said, nil for one.
  public let consensus: SelfConsistency?
  /// Nil where the rationale is the likeliest one, which no draw has part in.
  public let sampling: Sampling?
  /// Every rationale in the order of the draws, where they are kept.
  public let samples: [LabelSample]

  /// A record of one rationale.
  public init(
    pair: Pair, distribution: LabelDistribution, rationaleText: String?, rationale: Rationale?,
    outline: RationaleOutline = .standard, promptTokens: Int, generatedTokens: Int, jumpedTokens: Int = 0,
    isTruncated: Bool = false, model: String, promptHash: String, calibration: LabelCalibration? = nil
  ) {
    let sample = LabelSample(
      distribution: distribution, rationaleText: rationaleText, rationale: rationale,
      generatedTokens: generatedTokens, jumpedTokens: jumpedTokens, isTruncated: isTruncated)
    self.init(
      pair: pair, sample: sample, outline: outline, promptTokens: promptTokens, model: model,
      promptHash: promptHash, calibration: calibration)
  }

  /// A record of several rationales, the kept one of which gives text and verdicts.
  ///
  /// - Parameter sampling: how they were drawn; nil for one greedy rationale.
  /// - Throws: `invalidArgument` where there is no sample.
  public init(
    pair: Pair, samples: [LabelSample], sampling: Sampling?, outline: RationaleOutline = .standard,
    promptTokens: Int, model: String, promptHash: String, calibration: LabelCalibration? = nil
  ) throws {
    let consensus = try SelfConsistency(samples.map(\.distribution))
    self.init(
      pair: pair, sample: samples[consensus.kept],
      consensus: (sampling?.samples ?? 1) > 1 ? consensus : nil,
      tokens: samples.reduce((0, 0)) { ($0.0 + $1.generatedTokens, $0.1 + $1.jumpedTokens) },
      sampling: sampling, samples: sampling?.keepsAll == true ? samples : [], outline: outline,
      promptTokens: promptTokens, model: model, promptHash: promptHash, calibration: calibration)
  }

  private init(
    pair: Pair, sample: LabelSample, consensus: SelfConsistency? = nil,
    tokens: (generated: Int, jumped: Int)? = nil, sampling: Sampling? = nil, samples: [LabelSample] = [],
    outline: RationaleOutline, promptTokens: Int, model: String, promptHash: String,
    calibration: LabelCalibration?
  ) {
    pairID = pair.pairID
    queryID = pair.queryID
    itemID = pair.itemID
    distribution = consensus?.distribution ?? sample.distribution
    label = consensus?.label ?? sample.distribution.label
    rationale = sample.rationale
    verdicts = outline.names.map { ($0, sample.verdicts[$0]) }
    self.promptTokens = promptTokens
    generatedTokens = tokens?.generated ?? sample.generatedTokens
    jumpedTokens = tokens?.jumped ?? sample.jumpedTokens
    isTruncated = sample.isTruncated
    self.model = model
    self.promptHash = promptHash
    self.calibration = calibration
    self.consensus = consensus
    self.sampling = sampling
    self.samples = samples
  }

  public static func == (left: LabelRecord, right: LabelRecord) -> Bool { left.json == right.json }
}
