/// What an evaluation was made with.
public struct EvaluationSettings: Sendable, Equatable, Codable {
  public let input: String
  public let predictions: [String]
  /// Names of the labels that count as relevant in the area under the curve.
  public let relevant: [String]
  /// What Spearman's correlation ranks by.
  public let spearman: GoldFile.Value
  public let resamples: Int
  public let seed: UInt64
  /// Queries with at most so many pairs are in the slice `few_pairs`.
  public let fewPairs: Int
  /// The training files of the slice `rare_words`, where there are any, with commas between.
  public let train: String?
  /// Queries whose rarest word fewer training queries have are in the slice `rare_words`.
  public let rareWords: Int

  public init(
    input: String, predictions: [String], relevant: [String], spearman: GoldFile.Value,
    bootstrap: QueryBootstrap,
    fewPairs: Int, train: String?, rareWords: Int
  ) {
    self.input = input
    self.predictions = predictions
    self.relevant = relevant
    self.spearman = spearman
    resamples = bootstrap.resamples
    seed = bootstrap.seed
    self.fewPairs = fewPairs
    self.train = train
    self.rareWords = rareWords
  }

  enum CodingKeys: String, CodingKey {
    case input, predictions, relevant, spearman, resamples, seed, train
    case fewPairs = "few_pairs"
    case rareWords = "rare_words"
  }
}

/// An ``Evaluation`` or ``EvaluationComparison`` of all pairs and of the long tail.
///
/// As JSON it is the content's object with `slices`, `coverage` and `settings` added.
public struct EvaluationReport<Content: Codable & Sendable>: Sendable, Codable {
  /// Of all pairs.
  public let overall: Content
  /// By the slice's name: `few_pairs` and, where there were training files, `rare_words`.
  public let slices: [String: Content]
  public let coverage: EvaluationInput.Coverage
  public let settings: EvaluationSettings

  public init(
    overall: Content, slices: [String: Content], coverage: EvaluationInput.Coverage,
    settings: EvaluationSettings
  ) {
    self.overall = overall
    self.slices = slices
    self.coverage = coverage
    self.settings = settings
  }

  private enum Key: String, CodingKey {
    case slices, coverage, settings
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Key.self)
    overall = try Content(from: decoder)
    slices = try container.decode([String: Content].self, forKey: .slices)
    coverage = try container.decode(EvaluationInput.Coverage.self, forKey: .coverage)
    settings = try container.decode(EvaluationSettings.self, forKey: .settings)
  }

  public func encode(to encoder: any Encoder) throws {
    try overall.encode(to: encoder)
    var container = encoder.container(keyedBy: Key.self)
    try container.encode(slices, forKey: .slices)
    try container.encode(coverage, forKey: .coverage)
    try container.encode(settings, forKey: .settings)
  }
}

extension EvaluationReport: Equatable where Content: Equatable {}
