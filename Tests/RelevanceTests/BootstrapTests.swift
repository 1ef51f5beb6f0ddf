import Foundation
import Testing

@testable import Relevance

@Suite struct BootstrapTests {
  /// Pairs whose predictions are right with a probability of `skill`.
  private func pairs(seed: UInt64, queries: Int, skill: Double) throws -> JudgedPairs {
    var draw = Draw(seed: 77)
    var luck = Draw(seed: seed)
    let labels = LabelSet.standard
    var gold: [GoldPair] = []
    var predictions: [Prediction] = []
    for query in 0..<queries {
      for item in 0..<Int.random(in: 1...6, using: &draw) {
        let label = Int.random(in: 0..<3, using: &draw)
        gold.append(
          GoldPair(
            pairID: "\(query)-\(item)", queryKey: "\(query)", query: "q", label: label,
            value: labels.labels[label].gain))
        let guess =
          Double.random(in: 0..<1, using: &luck) < skill ? label : Int.random(in: 0..<3, using: &luck)
        let sure = Double.random(in: 0.4..<0.9, using: &luck)
        predictions.append(
          Prediction(
            distribution: try LabelDistribution(
              labels: labels, probabilities: (0..<3).map { $0 == guess ? sure : (1 - sure) / 2 })))
      }
    }
    return try JudgedPairs(labels: labels, gold: gold, predictions: predictions)
  }

  @Test func aResampleDrawsAsManyQueriesAsThereAre() throws {
    let bootstrap = try QueryBootstrap(resamples: 10, seed: 3)
    for queries in [1, 2, 3, 4, 5, 100] {
      for number in 0..<10 {
        let weights = bootstrap.weights(resample: number, queries: queries)
        #expect(weights.count == queries && weights.reduce(0, +) == queries)
        #expect(weights == bootstrap.weights(resample: number, queries: queries))
      }
    }
    let other = try QueryBootstrap(resamples: 10, seed: 4)
    #expect(bootstrap.weights(resample: 0, queries: 100) != other.weights(resample: 0, queries: 100))
    #expect(bootstrap.weights(resample: 0, queries: 100) != bootstrap.weights(resample: 1, queries: 100))
  }

  @Test func queriesAreDrawnEvenly() throws {
    let bootstrap = try QueryBootstrap(resamples: 400, seed: 9)
    var sums = [Int](repeating: 0, count: 10)
    for number in 0..<400 {
      for (query, weight) in bootstrap.weights(resample: number, queries: 10).enumerated() {
        sums[query] += weight
      }
    }
    // 4,000 draws of ten: 400 each, with a standard deviation of 19.
    #expect(sums.allSatisfy { abs($0 - 400) < 100 })
  }

  @Test func percentilesLieLinearlyBetweenNeighbours() throws {
    let interval = try #require(QueryBootstrap.interval((0...40).map { Double(40 - $0) }))
    #expect(abs(interval.low - 1) < 1e-12 && abs(interval.high - 39) < 1e-12)
    let short = try #require(QueryBootstrap.interval([1, 3]))
    #expect(abs(short.low - 1.05) < 1e-12 && abs(short.high - 2.95) < 1e-12)
    #expect(QueryBootstrap.interval([]) == nil)
  }

  @Test func intervalsHoldTheValueAndNarrowWithMoreQueries() throws {
    let bootstrap = try QueryBootstrap(resamples: 200, seed: 1)
    let few = Evaluation(try pairs(seed: 5, queries: 15, skill: 0.5), bootstrap: bootstrap)
    let many = Evaluation(try pairs(seed: 5, queries: 150, skill: 0.5), bootstrap: bootstrap)
    for metric in [Metric.accuracy, .weightedF1, .auc, .spearman, .logLoss] {
      let (wide, narrow) = (few[metric], many[metric])
      let value = try #require(narrow.value)
      let (low, high) = (try #require(narrow.low), try #require(narrow.high))
      #expect(low < value && value < high, "\(metric)")
      let width = try #require(wide.high) - #require(wide.low)
      #expect(high - low < width, "\(metric)")
    }
  }

  @Test func theIntervalOfAMeanIsTheNormalOne() throws {
    // Accuracy over queries of one pair each is a binomial share; its interval is known.
    let labels = LabelSet.standard
    let gold = (0..<200).map {
      GoldPair(pairID: "\($0)", queryKey: "\($0)", query: "q", label: $0 % 4 == 0 ? 1 : 0, value: 0)
    }
    let prediction = Prediction(
      distribution: try LabelDistribution(labels: labels, probabilities: [1, 0, 0]))
    let pairs = try JudgedPairs(
      labels: labels, gold: gold, predictions: Array(repeating: prediction, count: 200))
    let accuracy = Evaluation(pairs, bootstrap: try QueryBootstrap(resamples: 1000, seed: 2))[.accuracy]
    let deviation = (0.75 * 0.25 / 200).squareRoot()
    #expect(accuracy.value == 0.75)
    #expect(abs(try #require(accuracy.low) - (0.75 - 1.96 * deviation)) < 0.012)
    #expect(abs(try #require(accuracy.high) - (0.75 + 1.96 * deviation)) < 0.012)
  }

  @Test func oneQueryHasNoIntervals() throws {
    let evaluation = Evaluation(
      try pairs(seed: 1, queries: 1, skill: 1), bootstrap: try QueryBootstrap(resamples: 50))
    #expect(evaluation[.accuracy].value != nil && evaluation[.accuracy].low == nil)
    #expect(evaluation.notes["intervals"]?.contains("two queries") == true)
  }

  @Test func aComparisonTellsABetterModelFromItself() throws {
    let bootstrap = try QueryBootstrap(resamples: 200, seed: 6)
    let good = try pairs(seed: 8, queries: 80, skill: 0.9)
    let bad = try pairs(seed: 8, queries: 80, skill: 0.2)
    let comparison = try EvaluationComparison(bad, good, bootstrap: bootstrap)
    #expect(comparison.a == Evaluation(bad, bootstrap: bootstrap))
    #expect(comparison.b == Evaluation(good, bootstrap: bootstrap))
    for metric in [Metric.accuracy, .macroF1, .auc, .spearman] {
      let difference = try #require(comparison.differences[metric])
      let value = try #require(comparison.b[metric].value) - #require(comparison.a[metric].value)
      #expect(difference.value == value)
      #expect(try #require(difference.low) > 0, "\(metric)")
      #expect(try #require(difference.pValue) < 0.02, "\(metric)")
    }
    let same = try EvaluationComparison(good, good, bootstrap: bootstrap)
    for metric in Metric.allCases {
      let difference = try #require(same.differences[metric])
      #expect(difference == MetricDifference(value: 0, low: 0, high: 0, pValue: 1), "\(metric)")
    }
  }

  @Test func predictionsForOtherPairsAreNotCompared() throws {
    let bootstrap = try QueryBootstrap(resamples: 1)
    let error = thrownError {
      _ = try EvaluationComparison(
        pairs(seed: 1, queries: 5, skill: 1), pairs(seed: 1, queries: 6, skill: 1), bootstrap: bootstrap)
    }
    #expect(error?.code == .invalidArgument)
  }

  @Test func aCountOfResamplesOutOfRangeIsRefused() {
    for count in [-1, 100_001] {
      #expect(thrownError { _ = try QueryBootstrap(resamples: count) }?.field == "resamples")
    }
  }

  @Test func aReportSurvivesJSONBesideItsMetrics() throws {
    let bootstrap = try QueryBootstrap(resamples: 10)
    let (one, other) = (
      try pairs(seed: 1, queries: 9, skill: 0.4), try pairs(seed: 2, queries: 9, skill: 0.8)
    )
    let coverage = EvaluationInput.Coverage(
      evaluated: one.count, missing: 1, unmatched: 2, unlabelled: 3, badRows: 4)
    let settings = EvaluationSettings(
      input: "i", predictions: ["a", "b"], relevant: ["exact"], spearman: .grade, bootstrap: bootstrap,
      fewPairs: 3, train: nil, rareWords: 1)
    let evaluation = Evaluation(one, bootstrap: bootstrap)
    let comparison = try EvaluationComparison(one, other, bootstrap: bootstrap)
    let report = EvaluationReport(
      overall: evaluation, slices: ["few_pairs": evaluation], coverage: coverage, settings: settings)
    let compared = EvaluationReport(
      overall: comparison, slices: ["few_pairs": comparison], coverage: coverage, settings: settings)
    let data = try JSONEncoder().encode(report)
    #expect(try JSONDecoder().decode(EvaluationReport<Evaluation>.self, from: data) == report)
    let keys = try foundationObject(String(decoding: data, as: UTF8.self)).keys
    #expect(
      Set(keys)
        == Set(Metric.allCases.map(\.rawValue)).union([
          "counts", "labels", "confusion", "calibration", "notes", "slices", "coverage", "settings",
        ]))
    let comparedData = try JSONEncoder().encode(compared)
    #expect(
      try JSONDecoder().decode(EvaluationReport<EvaluationComparison>.self, from: comparedData) == compared)
    #expect(
      Set(try foundationObject(String(decoding: comparedData, as: UTF8.self)).keys) == [
        "a", "b", "difference", "slices", "coverage", "settings",
      ])
  }

  @Test func anEvaluationSurvivesJSONAndWritesNull() throws {
    let evaluation = Evaluation(
      try pairs(seed: 3, queries: 12, skill: 0.5), bootstrap: try QueryBootstrap(resamples: 20))
    let data = try JSONEncoder().encode(evaluation)
    #expect(try JSONDecoder().decode(Evaluation.self, from: data) == evaluation)
    let empty = Evaluation(
      try JudgedPairs(labels: .standard, gold: [], predictions: []), bootstrap: try QueryBootstrap())
    let object = try foundationObject(String(decoding: JSONEncoder().encode(empty), as: UTF8.self))
    for metric in Metric.allCases {
      let estimate = try #require(object[metric.rawValue] as? [String: Any])
      #expect(Set(estimate.keys) == ["value", "low", "high"])
      #expect(estimate.values.allSatisfy { $0 is NSNull }, "\(metric)")
    }
    let labels = try #require(object["labels"] as? [[String: Any]])
    #expect(labels.count == 3 && labels.allSatisfy { $0["f1"] is NSNull && $0["gold"] as? Int == 0 })
    let bins = try #require(object["calibration"] as? [[String: Any]])
    #expect(bins.count == 15 && bins.allSatisfy { $0["accuracy"] is NSNull })
  }
}
