import Relevance

/// What a file of teacher records holds, in numbers.
struct TeacherStatistics: Sendable {
  static let entropyBins = 10

  let records: Int
  /// By label, in label-set order.
  let labels: [Int]
  /// By normalised entropy of the distribution, in tenths.
  let entropies: [Int]
  let withRationale: Int
  let truncated: Int
  /// By aspect and verdict (`Verdict.allCases`), then how many records give none.
  let verdicts: [(aspect: String, counts: [Int], absent: Int)]
  let meanTokens: Double?
  /// Records whose pair has a human label, by it (outer) and the teacher's (inner).
  let againstGold: [[Int]]

  init(_ file: TeacherRecords, aspects: [String]) {
    let size = file.labels.count
    var labels = [Int](repeating: 0, count: size)
    var entropies = [Int](repeating: 0, count: TeacherStatistics.entropyBins)
    var againstGold = [[Int]](repeating: labels, count: size)
    for record in file.records {
      labels[record.prediction.label] += 1
      let entropy = record.prediction.distribution.normalizedEntropy
      entropies[min(max(Int(entropy * Double(entropies.count)), 0), entropies.count - 1)] += 1
      if let gold = file.gold[record.pairID] { againstGold[gold][record.prediction.label] += 1 }
    }
    records = file.records.count
    self.labels = labels
    self.entropies = entropies
    self.againstGold = againstGold
    withRationale = file.records.count { $0.rationale?.isEmpty == false }
    truncated = file.records.count { $0.isTruncated }
    let tokens = file.records.compactMap(\.generatedTokens)
    meanTokens = tokens.isEmpty ? nil : tokens.reduce(0, +) / Double(tokens.count)
    let names = aspects.isEmpty ? Set(file.records.flatMap(\.verdicts.keys)).sorted() : aspects
    verdicts = names.map { aspect in
      let found = file.records.compactMap { $0.verdicts[aspect] }
      return (
        aspect, Verdict.allCases.map { kind in found.count { $0 == kind } }, file.records.count - found.count
      )
    }
  }

  var judged: Int { againstGold.reduce(0) { $0 + $1.reduce(0, +) } }

  /// The share of records with the human label, among those whose pair has one.
  var agreement: MetricEstimate {
    AspectAgreement.wilson(againstGold.indices.reduce(0) { $0 + againstGold[$1][$1] }, of: judged)
  }

}
