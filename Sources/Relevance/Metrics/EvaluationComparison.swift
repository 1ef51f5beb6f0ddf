import Basics

/// Two sets of predictions for the same pairs: each one's metrics, and their differences by a paired bootstrap.
///
/// As JSON: `a`, `b` (``Evaluation``), `difference` with a key a metric, each b − a.
public struct EvaluationComparison: Sendable, Equatable {
  public let a: Evaluation
  public let b: Evaluation
  /// The second's value less the first's.
  public let differences: [Metric: MetricDifference]

  /// Compares two sets of predictions that share every resample of the queries.
  ///
  /// - Throws: `invalidArgument` where the rows are not of the same queries, gold labels and label set.
  public init(_ first: JudgedPairs, _ second: JudgedPairs, bootstrap: QueryBootstrap) throws {
    guard first.labels == second.labels, first.queries == second.queries, first.gold == second.gold,
      first.goldValues == second.goldValues, first.isRelevant == second.isRelevant
    else {
      throw RetortError(
        .invalidArgument, "the two sets of predictions are not of the same pairs", field: "predictions",
        remedy: "Compare predictions for the same pairs in the same order.")
    }
    let tables = [MetricTable(first), MetricTable(second)]
    let values = tables.map(\.values)
    let resampled = Evaluation.resampled(tables, queries: first.queryCount, bootstrap)
    a = Evaluation(first, table: tables[0], values: values[0], resampled: resampled.map { $0[0] })
    b = Evaluation(second, table: tables[1], values: values[1], resampled: resampled.map { $0[1] })
    var differences: [Metric: MetricDifference] = [:]
    for metric in Metric.allCases {
      let drawn = resampled.compactMap { EvaluationComparison.difference($0[0][metric], $0[1][metric]) }
      let value = EvaluationComparison.difference(values[0][metric], values[1][metric])
      let interval = value == nil ? nil : QueryBootstrap.interval(drawn)
      differences[metric] = MetricDifference(
        value: value, low: interval?.low, high: interval?.high,
        pValue: value == nil ? nil : QueryBootstrap.pValue(drawn))
    }
    self.differences = differences
  }

  private static func difference(_ first: Double?, _ second: Double?) -> Double? {
    guard let first, let second else { return nil }
    return second - first
  }
}

extension EvaluationComparison: Codable {
  private enum Key: String, CodingKey {
    case a, b, difference
  }

  private struct Differences: Codable {
    let values: [Metric: MetricDifference]

    init(_ values: [Metric: MetricDifference]) { self.values = values }
    init(from decoder: any Decoder) throws {
      values = try MetricKey.decode(MetricDifference.self, from: decoder)
    }
    func encode(to encoder: any Encoder) throws { try MetricKey.encode(values, to: encoder) }
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Key.self)
    a = try container.decode(Evaluation.self, forKey: .a)
    b = try container.decode(Evaluation.self, forKey: .b)
    differences = try container.decode(Differences.self, forKey: .difference).values
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Key.self)
    try container.encode(a, forKey: .a)
    try container.encode(b, forKey: .b)
    try container.encode(Differences(differences), forKey: .difference)
  }
}
