import Foundation
import Testing

@testable import Relevance

/// A case of `Tests/Fixtures/metrics/cases.json`.
struct MetricCase: Decodable, Sendable, CustomTestStringConvertible {
  struct Label: Decodable, Sendable {
    let precision: Double
    let recall: Double
    let f1: Double
    let gold: Int
  }

  struct Values: Decodable, Sendable {
    let accuracy, macroF1, weightedF1, auc, spearman, ndcgAt10, ece, logLoss: Double?
    let labels: [Label]?
    let confusion: [[Int]]?
    let rankedQueries: Int?

    subscript(metric: Metric) -> Double? {
      switch metric {
      case .accuracy: accuracy
      case .macroF1: macroF1
      case .weightedF1: weightedF1
      case .auc: auc
      case .spearman: spearman
      case .ndcgAt10: ndcgAt10
      case .ece: ece
      case .logLoss: logLoss
      }
    }
  }

  let name: String
  let gains: [Double]
  let queries: [Int]
  let gold: [Int]
  let values: [Double]
  let probabilities: [[Double]]
  let expected: Values
  let weights: [Int]
  let weighted: Values

  var testDescription: String { name }

  static func all() throws -> [MetricCase] {
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let data = try Data(contentsOf: tests.appendingPathComponent("Fixtures/metrics/cases.json"))
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode([MetricCase].self, from: data)
  }

  func pairs() throws -> JudgedPairs {
    let labels = try LabelSet(gains.enumerated().map { Relevance.Label(name: "l\($0)", gain: $1) })
    return try JudgedPairs(
      labels: labels,
      gold: gold.indices.map {
        GoldPair(
          pairID: "\($0)", queryKey: "\(queries[$0])", query: "q\(queries[$0])", label: gold[$0],
          value: values[$0])
      },
      predictions: probabilities.map {
        Prediction(distribution: try LabelDistribution(labels: labels, probabilities: $0))
      })
  }
}

@Suite struct MetricFixtureTests {
  private func agree(_ found: Double?, _ expected: Double?) -> Bool {
    guard let found, let expected else { return found == nil && expected == nil }
    return abs(found - expected) <= 1e-12 * max(1, abs(expected))
  }

  @Test func theFixtureHasEveryCase() throws {
    #expect(try MetricCase.all().count == 12)
  }

  @Test func metricsAreThoseOfScikitLearnAndSciPy() throws {
    for entry in try MetricCase.all() {
      let found = Evaluation(try entry.pairs(), bootstrap: try QueryBootstrap(resamples: 0))
      for metric in Metric.allCases {
        #expect(
          agree(found[metric].value, entry.expected[metric]),
          "\(entry.name), \(metric): \(String(describing: found[metric].value))")
        #expect((found.notes[metric.rawValue] != nil) == (entry.expected[metric] == nil))
      }
      #expect(found.counts.rankedQueries == entry.expected.rankedQueries)
    }
  }

  @Test func confusionAndLabelScoresAreThoseOfScikitLearn() throws {
    for entry in try MetricCase.all() {
      let found = Evaluation(try entry.pairs(), bootstrap: try QueryBootstrap(resamples: 0))
      #expect(found.confusion == entry.expected.confusion, "\(entry.name)")
      let labels = try #require(entry.expected.labels)
      #expect(found.labels.map(\.gold) == labels.map(\.gold))
      for (score, label) in zip(found.labels, labels) {
        // scikit-learn writes 0 where a score is not defined.
        #expect(agree(score.precision ?? 0, label.precision), "\(entry.name), \(score.label)")
        #expect(agree(score.recall ?? 0, label.recall), "\(entry.name), \(score.label)")
        #expect(agree(score.f1 ?? 0, label.f1), "\(entry.name), \(score.label)")
      }
    }
  }

  @Test func aWeightedQueryCountsAsThatManyCopies() throws {
    for entry in try MetricCase.all() {
      let found = MetricTable(try entry.pairs()).values(queryWeights: entry.weights)
      for metric in Metric.allCases where metric != .ndcgAt10 {
        #expect(
          agree(found[metric], entry.weighted[metric]),
          "\(entry.name), \(metric): \(String(describing: found[metric]))")
      }
    }
  }
}
