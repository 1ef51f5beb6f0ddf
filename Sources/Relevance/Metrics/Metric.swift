/// What an evaluation measures; the raw value is the key in JSON. docs/method.md gives the formulas.
public enum Metric: String, Sendable, CaseIterable, Codable {
  /// Share of pairs whose predicted label is the gold label.
  case accuracy
  /// F1 averaged over the labels that occur.
  case macroF1 = "macro_f1"
  /// F1 averaged over the labels by their gold counts.
  case weightedF1 = "weighted_f1"
  /// Area under the ROC curve of the score, relevant labels against the others.
  case auc
  /// Spearman's rank correlation of the score with the gold gain or grade.
  case spearman
  /// Normalised discounted cumulative gain of a query's first ten, averaged over queries.
  case ndcgAt10 = "ndcg_at_10"
  /// Expected calibration error over 15 bins of equal width.
  case ece
  /// Mean negative logarithm of the gold label's probability.
  case logLoss = "log_loss"

  /// The name for people, as it stands within a sentence.
  public var name: String {
    switch self {
    case .accuracy: "accuracy"
    case .macroF1: "macro-F1"
    case .weightedF1: "weighted-F1"
    case .auc: "AUC"
    case .spearman: "Spearman"
    case .ndcgAt10: "NDCG@10"
    case .ece: "calibration error"
    case .logLoss: "log loss"
    }
  }

  /// Whether a larger value is a better one.
  public var higherIsBetter: Bool { self != .ece && self != .logLoss }
}

/// One value a metric; nil where the data does not define it.
public struct MetricValues: Sendable, Equatable {
  private var values = [Double?](repeating: nil, count: Metric.allCases.count)

  public init() {}

  public subscript(metric: Metric) -> Double? {
    get { values[MetricValues.index(metric)] }
    set { values[MetricValues.index(metric)] = newValue }
  }

  private static func index(_ metric: Metric) -> Int {
    switch metric {
    case .accuracy: 0
    case .macroF1: 1
    case .weightedF1: 2
    case .auc: 3
    case .spearman: 4
    case .ndcgAt10: 5
    case .ece: 6
    case .logLoss: 7
    }
  }
}

/// A metric's value with its 95 % interval; nil (null in JSON) where the data does not define it.
public struct MetricEstimate: Sendable, Equatable, Codable {
  public let value: Double?
  public let low: Double?
  public let high: Double?

  public init(value: Double?, low: Double?, high: Double?) {
    self.value = value
    self.low = low
    self.high = high
  }

  // The synthesised code would leave nil out; readers are promised all three keys.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(value, forKey: .value)
    try container.encode(low, forKey: .low)
    try container.encode(high, forKey: .high)
  }
}

/// How much a metric differs between two sets of predictions: the second's value less the first's.
public struct MetricDifference: Sendable, Equatable, Codable {
  public let value: Double?
  public let low: Double?
  public let high: Double?
  /// Two-sided, of the paired bootstrap.
  public let pValue: Double?

  public init(value: Double?, low: Double?, high: Double?, pValue: Double?) {
    self.value = value
    self.low = low
    self.high = high
    self.pValue = pValue
  }

  enum CodingKeys: String, CodingKey {
    case value, low, high
    case pValue = "p_value"
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(value, forKey: .value)
    try container.encode(low, forKey: .low)
    try container.encode(high, forKey: .high)
    try container.encode(pValue, forKey: .pValue)
  }
}
