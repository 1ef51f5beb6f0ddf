/// Every metric of a set of predictions, with intervals, and the tables behind them.
///
/// As JSON it is one object with a key a metric (``Metric``) and the other properties in snake case.
public struct Evaluation: Sendable, Equatable {
  /// How many pairs and queries the metrics rest on.
  public struct Counts: Sendable, Equatable, Codable {
    public let pairs: Int
    public let queries: Int
    /// Queries that have an NDCG@10: at least two pairs, one of them with a gain.
    public let rankedQueries: Int

    enum CodingKeys: String, CodingKey {
      case pairs, queries
      case rankedQueries = "ranked_queries"
    }
  }

  /// How well one label is found.
  public struct LabelScores: Sendable, Equatable, Codable {
    public let label: String
    /// Whether the label counts as relevant in the area under the curve.
    public let relevant: Bool
    /// Nil where the label is never predicted.
    public let precision: Double?
    /// Nil where the label is never gold.
    public let recall: Double?
    /// Nil where the label is neither.
    public let f1: Double?
    public let gold: Int
    public let predicted: Int

    // As in MetricEstimate: null, not absent.
    public func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(label, forKey: .label)
      try container.encode(relevant, forKey: .relevant)
      try container.encode(precision, forKey: .precision)
      try container.encode(recall, forKey: .recall)
      try container.encode(f1, forKey: .f1)
      try container.encode(gold, forKey: .gold)
      try container.encode(predicted, forKey: .predicted)
    }
  }

  /// Pairs whose predicted label has a probability above `low`, up to `high`.
  public struct CalibrationBin: Sendable, Equatable, Codable {
    public let low: Double
    public let high: Double
    public let pairs: Int
    /// The mean probability of the predicted label; nil in an empty bin.
    public let confidence: Double?
    /// The share of right labels; nil in an empty bin.
    public let accuracy: Double?

    public func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(low, forKey: .low)
      try container.encode(high, forKey: .high)
      try container.encode(pairs, forKey: .pairs)
      try container.encode(confidence, forKey: .confidence)
      try container.encode(accuracy, forKey: .accuracy)
    }
  }

  public let metrics: [Metric: MetricEstimate]
  public let counts: Counts
  public let labels: [LabelScores]
  /// Pairs by gold label (outer) and predicted label (inner), in label-set order.
  public let confusion: [[Int]]
  public let calibration: [CalibrationBin]
  /// Why a metric is null, by its key.
  public let notes: [String: String]

  public subscript(metric: Metric) -> MetricEstimate {
    metrics[metric] ?? MetricEstimate(value: nil, low: nil, high: nil)
  }

  /// Evaluates `pairs`; intervals need at least two queries.
  public init(_ pairs: JudgedPairs, bootstrap: QueryBootstrap) {
    let table = MetricTable(pairs)
    let values = table.values
    self.init(
      pairs, table: table, values: values,
      resampled: Evaluation.resampled([table], queries: pairs.queryCount, bootstrap).map { $0[0] })
  }

  init(_ pairs: JudgedPairs, table: MetricTable, values: MetricValues, resampled: [MetricValues]) {
    var metrics: [Metric: MetricEstimate] = [:]
    var notes: [String: String] = [:]
    for metric in Metric.allCases {
      let value = values[metric]
      let interval = value == nil ? nil : QueryBootstrap.interval(resampled.compactMap { $0[metric] })
      metrics[metric] = MetricEstimate(value: value, low: interval?.low, high: interval?.high)
      if value == nil { notes[metric.rawValue] = Evaluation.reason(metric, pairs) }
    }
    if pairs.queryCount < 2 { notes["intervals"] = "an interval over queries needs at least two queries" }
    self.metrics = metrics
    self.notes = notes
    counts = Counts(pairs: pairs.count, queries: pairs.queryCount, rankedQueries: table.rankedQueries)
    let ones = [Int](repeating: 1, count: pairs.count)
    let tallies = table.classification(rowWeights: ones)
    labels = pairs.labels.labels.enumerated().map { index, label in
      LabelScores(
        label: label.name, relevant: pairs.isRelevant[index], precision: tallies.precision(index),
        recall: tallies.recall(index), f1: tallies.f1(index), gold: tallies.gold[index],
        predicted: tallies.predicted[index])
    }
    var confusion = [[Int]](
      repeating: [Int](repeating: 0, count: pairs.labels.count), count: pairs.labels.count)
    for row in 0..<pairs.count { confusion[pairs.gold[row]][pairs.predicted[row]] += 1 }
    self.confusion = confusion
    calibration = Evaluation.bins(table.calibration(rowWeights: ones))
  }

  /// The metrics of each table in every resample; resamples first. Tables must share their rows' queries.
  static func resampled(_ tables: [MetricTable], queries: Int, _ bootstrap: QueryBootstrap)
    -> [[MetricValues]]
  {
    guard queries > 1 else { return [] }
    return (0..<bootstrap.resamples).map { number in
      let weights = bootstrap.weights(resample: number, queries: queries)
      return tables.map { $0.values(queryWeights: weights) }
    }
  }

  private static func bins(_ bins: CalibrationBins) -> [CalibrationBin] {
    (0..<CalibrationBins.count).map { bin in
      let pairs = bins.pairs[bin]
      return CalibrationBin(
        low: Double(bin) / Double(CalibrationBins.count),
        high: Double(bin + 1) / Double(CalibrationBins.count),
        pairs: pairs, confidence: pairs > 0 ? bins.confidence[bin] / Double(pairs) : nil,
        accuracy: pairs > 0 ? Double(bins.correct[bin]) / Double(pairs) : nil)
    }
  }

  private static func reason(_ metric: Metric, _ pairs: JudgedPairs) -> String {
    if pairs.count == 0 { return "there are no pairs" }
    switch metric {
    case .auc: return "needs relevant pairs and others; the gold labels are all of one side"
    case .spearman: return "all scores or all gold values are equal"
    case .ndcgAt10: return "no query has two pairs, one of them with a gain"
    default: return "not defined"
    }
  }
}

extension Evaluation: Codable {
  private enum Key: String, CodingKey {
    case counts, labels, confusion, calibration, notes
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Key.self)
    counts = try container.decode(Counts.self, forKey: .counts)
    labels = try container.decode([LabelScores].self, forKey: .labels)
    confusion = try container.decode([[Int]].self, forKey: .confusion)
    calibration = try container.decode([CalibrationBin].self, forKey: .calibration)
    notes = try container.decode([String: String].self, forKey: .notes)
    metrics = try MetricKey.decode(MetricEstimate.self, from: decoder)
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Key.self)
    try container.encode(counts, forKey: .counts)
    try container.encode(labels, forKey: .labels)
    try container.encode(confusion, forKey: .confusion)
    try container.encode(calibration, forKey: .calibration)
    try container.encode(notes, forKey: .notes)
    try MetricKey.encode(metrics, to: encoder)
  }
}

/// A metric as a key of a JSON object.
struct MetricKey: CodingKey {
  let stringValue: String
  var intValue: Int? { nil }

  init(_ metric: Metric) { stringValue = metric.rawValue }
  init?(stringValue: String) { self.stringValue = stringValue }
  init?(intValue: Int) { nil }

  static func encode<Value: Encodable>(_ values: [Metric: Value], to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: MetricKey.self)
    for metric in Metric.allCases {
      if let value = values[metric] { try container.encode(value, forKey: MetricKey(metric)) }
    }
  }

  static func decode<Value: Decodable>(_ type: Value.Type, from decoder: any Decoder) throws -> [Metric:
    Value]
  {
    let container = try decoder.container(keyedBy: MetricKey.self)
    var values: [Metric: Value] = [:]
    for metric in Metric.allCases {
      values[metric] = try container.decodeIfPresent(type, forKey: MetricKey(metric))
    }
    return values
  }
}
