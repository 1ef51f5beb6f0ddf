import Foundation

/// Judged pairs, sorted and summed once so that every metric costs one pass over the rows for each bootstrap resample.
struct MetricTable: Sendable {
  private let pairs: JudgedPairs
  private let bins: [Int]
  private let area: AreaUnderCurve
  private let correlation: RankCorrelation
  /// For each query the sum of its pairs' log losses, and how many they are.
  private let lossSums: [Double]
  private let pairCounts: [Int]
  /// For each query its NDCG@10; nil where it has none.
  private let rankingGains: [Double?]

  init(_ pairs: JudgedPairs) {
    self.pairs = pairs
    bins = pairs.confidences.map(CalibrationBins.bin)
    let order = TiedOrder(pairs.scores)
    area = AreaUnderCurve(order: order, isPositive: pairs.gold.map { pairs.isRelevant[$0] })
    correlation = RankCorrelation(order, TiedOrder(pairs.goldValues))
    var losses = [Double](repeating: 0, count: pairs.queryCount)
    var members = [[Int]](repeating: [], count: pairs.queryCount)
    for row in 0..<pairs.count {
      losses[pairs.queries[row]] += MetricTable.loss(pairs.goldProbabilities[row])
      members[pairs.queries[row]].append(row)
    }
    lossSums = losses
    pairCounts = members.map(\.count)
    // Gains below zero would leave NDCG without bounds, so such a set is shifted to start at zero.
    let floor = min(0, pairs.labels.labels.map(\.gain).min() ?? 0)
    rankingGains = members.map { rows in
      DiscountedGain.normalized(
        gains: rows.map { pairs.labels.labels[pairs.gold[$0]].gain - floor },
        scores: rows.map { pairs.scores[$0] })
    }
  }

  /// Queries that have an NDCG@10.
  var rankedQueries: Int { rankingGains.count { $0 != nil } }

  /// −ln p, p not below 2⁻⁵², so that one sure mistake does not make the mean infinite.
  private static func loss(_ probability: Double) -> Double { -log(max(probability, .ulpOfOne)) }

  /// Every metric, each query standing there `weights[query]` times.
  func values(queryWeights weights: [Int]) -> MetricValues {
    let rowWeights = pairs.queries.map { weights[$0] }
    let counts = classification(rowWeights: rowWeights)
    var values = MetricValues()
    values[.accuracy] = counts.accuracy
    values[.macroF1] = counts.macroF1
    values[.weightedF1] = counts.weightedF1
    values[.auc] = area.value(weights: rowWeights)
    values[.spearman] = correlation.value(weights: rowWeights)
    values[.ndcgAt10] = meanRankingGain(weights)
    values[.ece] = calibration(rowWeights: rowWeights).error
    values[.logLoss] = meanLoss(weights)
    return values
  }

  /// Every metric of the pairs as they are.
  var values: MetricValues { values(queryWeights: Array(repeating: 1, count: pairs.queryCount)) }

  func classification(rowWeights: [Int]) -> ClassificationCounts {
    var counts = ClassificationCounts(labelCount: pairs.labels.count)
    for row in rowWeights.indices where rowWeights[row] > 0 {
      counts.add(gold: pairs.gold[row], predicted: pairs.predicted[row], weight: rowWeights[row])
    }
    return counts
  }

  func calibration(rowWeights: [Int]) -> CalibrationBins {
    var result = CalibrationBins()
    for row in rowWeights.indices where rowWeights[row] > 0 {
      result.add(
        bin: bins[row], confidence: pairs.confidences[row],
        isCorrect: pairs.gold[row] == pairs.predicted[row],
        weight: rowWeights[row])
    }
    return result
  }

  private func meanRankingGain(_ weights: [Int]) -> Double? {
    var sum = 0.0
    var total = 0
    for query in weights.indices {
      guard let gain = rankingGains[query] else { continue }
      sum += gain * Double(weights[query])
      total &+= weights[query]
    }
    return total > 0 ? sum / Double(total) : nil
  }

  private func meanLoss(_ weights: [Int]) -> Double? {
    var sum = 0.0
    var total = 0
    for query in weights.indices {
      sum += lossSums[query] * Double(weights[query])
      total &+= pairCounts[query] &* weights[query]
    }
    return total > 0 ? sum / Double(total) : nil
  }
}
