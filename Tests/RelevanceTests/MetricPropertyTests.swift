import Testing

@testable import Relevance

@Suite struct MetricPropertyTests {
  /// `count` rows of `queries` queries with values from a small set, so that there are ties.
  private func random(_ draw: inout Draw, count: Int, queries: Int, labels: LabelSet = .standard) throws
    -> JudgedPairs
  {
    var gold: [GoldPair] = []
    var predictions: [Prediction] = []
    for row in 0..<count {
      let label = Int.random(in: 0..<labels.count, using: &draw)
      gold.append(
        GoldPair(
          pairID: "\(row)", queryKey: "\(Int.random(in: 0..<queries, using: &draw))", query: "q",
          label: label,
          value: labels.labels[label].gain))
      let weights = (0..<labels.count).map { _ in Double(Int.random(in: 1...4, using: &draw)) }
      predictions.append(
        Prediction(distribution: try LabelDistribution(labels: labels, probabilities: weights)))
    }
    return try JudgedPairs(labels: labels, gold: gold, predictions: predictions)
  }

  @Test func areaUnderTheCurveIsTheShareOfPairsInOrder() throws {
    var draw = Draw(seed: 1)
    for count in [2, 3, 7, 40] {
      let values = (0..<count).map { _ in Double(Int.random(in: 0..<5, using: &draw)) }
      let positive = (0..<count).map { $0 == 0 || ($0 > 1 && Bool.random(using: &draw)) }
      var won = 0.0
      var all = 0.0
      for one in 0..<count where positive[one] {
        for other in 0..<count where !positive[other] {
          all += 1
          won += values[one] > values[other] ? 1 : values[one] == values[other] ? 0.5 : 0
        }
      }
      let area = AreaUnderCurve(order: TiedOrder(values), isPositive: positive)
      #expect(area.value(weights: Array(repeating: 1, count: count)) == won / all)
    }
  }

  @Test func rankMetricsIgnoreAnyRisingChangeOfTheScore() throws {
    var draw = Draw(seed: 2)
    let values = (0..<60).map { _ in Double(Int.random(in: -9...9, using: &draw)) / 3 }
    let gains = (0..<60).map { _ in Double(Int.random(in: 0...3, using: &draw)) }
    let changed = values.map { $0 * $0 * $0 + 7 }
    let ones = [Int](repeating: 1, count: 60)
    func correlation(_ scores: [Double]) -> Double? {
      RankCorrelation(TiedOrder(scores), TiedOrder(gains)).value(weights: ones)
    }
    #expect(correlation(values) == correlation(changed))
    #expect(correlation(values.map { -$0 }) == correlation(values).map { -$0 })
    #expect(correlation(gains) == 1)
    #expect(
      DiscountedGain.normalized(gains: gains, scores: values)
        == DiscountedGain.normalized(gains: gains, scores: changed))
    #expect(DiscountedGain.normalized(gains: gains, scores: gains) == 1)
  }

  @Test func tiedScoresGetTheMeanOverTheirOrders() throws {
    // Two of four items tie; the tie's value is the mean over both orders.
    let gains = [0.0, 1, 0.5, 0]
    func value(_ scores: [Double]) throws -> Double {
      try #require(DiscountedGain.normalized(gains: gains, scores: scores, k: 2))
    }
    let mean = try (value([4, 3, 2, 1]) + value([3, 4, 2, 1])) / 2
    #expect(abs(try value([3, 3, 2, 1]) - mean) < 1e-15)
  }

  @Test func everyMetricStaysInItsRange() throws {
    var draw = Draw(seed: 3)
    for round in 0..<40 {
      let pairs = try random(&draw, count: 1 + round, queries: 1 + round / 3)
      let values = MetricTable(pairs).values
      for metric in Metric.allCases {
        guard let value = values[metric] else { continue }
        let range: ClosedRange<Double> = metric == .spearman ? -1...1 : metric == .logLoss ? 0...40 : 0...1
        #expect(range.contains(value), "\(metric) = \(value)")
      }
    }
  }

  @Test func theOrderOfRowsDoesNotMatter() throws {
    var draw = Draw(seed: 4)
    let labels = LabelSet.standard
    let gold = (0..<50).map {
      GoldPair(
        pairID: "\($0)", queryKey: "\($0 % 7)", query: "q", label: Int.random(in: 0..<3, using: &draw),
        value: Double($0 % 4))
    }
    let predictions = try (0..<50).map { _ in
      Prediction(
        distribution: try LabelDistribution(
          labels: labels, probabilities: (0..<3).map { _ in Double.random(in: 0.1...1, using: &draw) }))
    }
    let order = (0..<50).shuffled(using: &draw)
    let first = MetricTable(try JudgedPairs(labels: labels, gold: gold, predictions: predictions)).values
    let second = MetricTable(
      try JudgedPairs(
        labels: labels, gold: order.map { gold[$0] }, predictions: order.map { predictions[$0] })
    ).values
    for metric in Metric.allCases {
      let (one, other) = (try #require(first[metric]), try #require(second[metric]))
      #expect(abs(one - other) < 1e-12, "\(metric)")
    }
  }

  @Test func surePredictionsAreRightOrWrongWhole() throws {
    let labels = LabelSet.standard
    let gold = (0..<9).map {
      GoldPair(
        pairID: "\($0)", queryKey: "\($0 / 3)", query: "q", label: $0 % 3, value: labels.labels[$0 % 3].gain)
    }
    func values(_ shift: Int) throws -> MetricValues {
      try MetricTable(
        JudgedPairs(
          labels: labels, gold: gold,
          predictions: gold.map { pair in
            let sure = (0..<3).map { $0 == (pair.label + shift) % 3 ? 1.0 : 0 }
            return Prediction(distribution: try LabelDistribution(labels: labels, probabilities: sure))
          })
      ).values
    }
    let right = try values(0)
    for metric in Metric.allCases { #expect(right[metric] == (metric.higherIsBetter ? 1 : 0), "\(metric)") }
    let wrong = try values(1)
    #expect(wrong[.accuracy] == 0 && wrong[.macroF1] == 0 && wrong[.ece] == 1)
    #expect(abs(try #require(wrong[.logLoss]) - 36.04365338911715) < 1e-12)
  }

  @Test func aConfidenceOnAnEdgeBelongsToTheBinBelow() {
    for edge in 1...15 {
      let value = Double(edge) / 15
      #expect(CalibrationBins.bin(value) == edge - 1)
      if edge < 15 { #expect(CalibrationBins.bin(value.nextUp) == edge) }
      #expect(CalibrationBins.bin(value.nextDown) == edge - 1)
    }
    #expect(CalibrationBins.bin(0) == 0)
  }

  @Test func labelsAboveTheLowestGainAreRelevantUnlessNamed() throws {
    let grades = try LabelSet((1...4).map { Label(name: "\($0)", gain: Double($0)) })
    func relevant(_ names: [String]?) throws -> [Bool] {
      try JudgedPairs(labels: grades, gold: [], predictions: [], relevant: names).isRelevant
    }
    #expect(try relevant(nil) == [false, true, true, true])
    #expect(try relevant(["4", "3"]) == [false, false, true, true])
    for (names, word) in [(["5"], "\"5\""), ([], "none"), (["1", "2", "3", "4"], "all")] {
      let error = thrownError { _ = try relevant(names) }
      #expect(error?.code == .invalidArgument && error?.field == "relevant")
      #expect(error?.message.contains(word) == true)
    }
  }

  @Test func negativeGainsAreShiftedForRanking() throws {
    func value(_ gains: [Double]) throws -> Double? {
      let labels = try LabelSet(gains.enumerated().map { Label(name: "l\($0)", gain: $1) })
      let gold = (0..<6).map {
        GoldPair(pairID: "\($0)", queryKey: "q", query: "q", label: $0 % 3, value: 0)
      }
      let predictions = try (0..<6).map { row in
        Prediction(
          distribution: try LabelDistribution(labels: labels, probabilities: [1, Double(row % 4), 1]))
      }
      return MetricTable(try JudgedPairs(labels: labels, gold: gold, predictions: predictions)).values[
        .ndcgAt10]
    }
    #expect(try value([-1, 0, 1]) == value([0, 1, 2]))
  }
}
