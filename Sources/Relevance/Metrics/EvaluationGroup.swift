import Basics

/// Predictions of the same pairs by several runs that differ in their seed: the mean of each metric, and how it
/// differs from another group's.
///
/// Intervals resample queries, the same ones for every run of both groups; they do not cover the draw of seeds.
public struct EvaluationGroup: Sendable, Equatable {
  public let metrics: [Metric: MetricEstimate]
  /// The group's mean less the baseline's; nil for the baseline itself and where there is none.
  public let differences: [Metric: MetricDifference]?

  public subscript(metric: Metric) -> MetricEstimate {
    metrics[metric] ?? MetricEstimate(value: nil, low: nil, high: nil)
  }

  /// Measures groups over the same resamples.
  ///
  /// - Parameters:
  ///   - groups: runs of each group; all of the same pairs in the same order.
  ///   - baseline: the place of the group that the others are compared with.
  /// - Throws: `invalidArgument` where runs are not of the same queries, gold labels and label set, or a group is
  ///   empty.
  public static func measure(_ groups: [[JudgedPairs]], baseline: Int?, bootstrap: QueryBootstrap) throws
    -> [EvaluationGroup]
  {
    guard let first = groups.first?.first, groups.allSatisfy({ !$0.isEmpty }) else {
      throw problem("a group has no predictions")
    }
    guard groups.allSatisfy({ $0.allSatisfy { isAlike($0, first) } }) else {
      throw problem("the predictions are not of the same pairs")
    }
    let tables = groups.map { $0.map { MetricTable($0) } }
    let values = tables.map { mean($0.map(\.values)) }
    let resampled = Evaluation.resampled(tables.flatMap(\.self), queries: first.queryCount, bootstrap).map {
      split($0, like: tables).map(mean)
    }
    return groups.indices.map { group in
      var metrics: [Metric: MetricEstimate] = [:]
      var differences: [Metric: MetricDifference] = [:]
      for metric in Metric.allCases {
        let value = values[group][metric]
        let interval =
          value == nil ? nil : QueryBootstrap.interval(resampled.compactMap { $0[group][metric] })
        metrics[metric] = MetricEstimate(value: value, low: interval?.low, high: interval?.high)
        guard let baseline, groups.indices.contains(baseline), baseline != group else { continue }
        differences[metric] = difference(
          values[group][metric], values[baseline][metric],
          resampled.compactMap { row in
            guard let own = row[group][metric], let other = row[baseline][metric] else { return nil }
            return own - other
          })
      }
      return EvaluationGroup(metrics: metrics, differences: differences.isEmpty ? nil : differences)
    }
  }

  private static func difference(_ own: Double?, _ other: Double?, _ drawn: [Double]) -> MetricDifference {
    guard let own, let other else { return MetricDifference(value: nil, low: nil, high: nil, pValue: nil) }
    let interval = QueryBootstrap.interval(drawn)
    return MetricDifference(
      value: own - other, low: interval?.low, high: interval?.high, pValue: QueryBootstrap.pValue(drawn))
  }

  /// A metric that one run lacks has no mean.
  private static func mean(_ runs: [MetricValues]) -> MetricValues {
    var result = MetricValues()
    for metric in Metric.allCases {
      let values = runs.compactMap { $0[metric] }
      if values.count == runs.count { result[metric] = values.reduce(0, +) / Double(values.count) }
    }
    return result
  }

  private static func split(_ values: [MetricValues], like groups: [[MetricTable]]) -> [[MetricValues]] {
    var start = 0
    return groups.map { group in
      defer { start += group.count }
      return Array(values[start..<start + group.count])
    }
  }

  private static func isAlike(_ pairs: JudgedPairs, _ other: JudgedPairs) -> Bool {
    pairs.labels == other.labels && pairs.queries == other.queries && pairs.gold == other.gold
      && pairs.goldValues == other.goldValues && pairs.isRelevant == other.isRelevant
  }

  private static func problem(_ message: String) -> RetortError {
    RetortError(
      .invalidArgument, message, field: "predictions",
      remedy: "Compare predictions for the same pairs in the same order.")
  }
}

extension EvaluationGroup: Codable {
  private enum Key: String, CodingKey {
    case metrics, difference
  }

  private struct Values<Value: Codable>: Codable {
    let values: [Metric: Value]

    init(_ values: [Metric: Value]) { self.values = values }
    init(from decoder: any Decoder) throws { values = try MetricKey.decode(Value.self, from: decoder) }
    func encode(to encoder: any Encoder) throws { try MetricKey.encode(values, to: encoder) }
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Key.self)
    metrics = try container.decode(Values<MetricEstimate>.self, forKey: .metrics).values
    differences = try container.decodeIfPresent(Values<MetricDifference>.self, forKey: .difference)?.values
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Key.self)
    try container.encode(Values(metrics), forKey: .metrics)
    if let differences { try container.encode(Values(differences), forKey: .difference) }
  }
}
