import Basics

/// How predictions in files are evaluated: against what, sliced how, and with what intervals.
public struct EvaluationJob: Sendable {
  /// Pairs with gold labels.
  public var input: String
  public var labels: LabelSet
  /// Labels that count as relevant; nil for those above the lowest gain.
  public var relevant: [String]?
  public var spearman = GoldFile.Value.gain
  public var bootstrap: QueryBootstrap
  public var fewPairs = 3
  /// Files of training pairs; the words that are rare in them make a slice.
  public var train: [String] = []
  public var rareWords = 1
  public var gaps = EvaluationInput.Gaps.refused

  public init(input: String, labels: LabelSet, bootstrap: QueryBootstrap) {
    self.input = input
    self.labels = labels
    self.bootstrap = bootstrap
  }

  /// All metrics of a file of predictions, and a sentence for each kind of gap.
  ///
  /// - Parameter name: what the report calls the file; its path by default.
  /// - Throws: what reading the files and joining them throws.
  public func evaluate(_ predictions: String, named name: String? = nil) throws -> (
    report: EvaluationReport<Evaluation>, warnings: [String]
  ) {
    let joined = try join([predictions])
    let overall = try judged(joined, 0, nil)
    let report = EvaluationReport(
      overall: Evaluation(overall, bootstrap: bootstrap),
      slices: try slices(joined.gold).mapValues {
        Evaluation(try judged(joined, 0, $0), bootstrap: bootstrap)
      },
      coverage: joined.coverage, settings: settings([name ?? predictions], overall))
    return (report, joined.warnings)
  }

  /// Two files of predictions and the second's metrics less the first's.
  ///
  /// - Throws: what reading the files and joining them throws.
  public func compare(_ first: String, _ second: String) throws -> (
    report: EvaluationReport<EvaluationComparison>, warnings: [String]
  ) {
    let joined = try join([first, second])
    let overall = try judged(joined, 0, nil)
    let report = EvaluationReport(
      overall: try EvaluationComparison(overall, judged(joined, 1, nil), bootstrap: bootstrap),
      slices: try slices(joined.gold).mapValues {
        try EvaluationComparison(judged(joined, 0, $0), judged(joined, 1, $0), bootstrap: bootstrap)
      },
      coverage: joined.coverage, settings: settings([first, second], overall))
    return (report, joined.warnings)
  }

  /// Groups of files of predictions, those of runs that differ in their seed.
  ///
  /// - Parameter baseline: the place of the group that the others are compared with.
  /// - Throws: what reading the files and joining them throws; `invalidArgument` for an empty group.
  public func compare(groups: [[String]], baseline: Int?) throws -> [EvaluationGroup] {
    let joined = try join(groups.flatMap(\.self))
    var file = 0
    let judged = try groups.map { group in
      try group.map { _ in
        defer { file += 1 }
        return try self.judged(joined, file, nil)
      }
    }
    return try EvaluationGroup.measure(judged, baseline: baseline, bootstrap: bootstrap)
  }

  private func join(_ files: [String]) throws -> EvaluationInput {
    let gold = try GoldFile(path: input, labels: labels, value: spearman)
    return try EvaluationInput(
      gold: gold, predictions: files.map { try PredictionFile(path: $0, labels: labels) }, gaps: gaps)
  }

  private func judged(_ joined: EvaluationInput, _ file: Int, _ rows: [Int]?) throws -> JudgedPairs {
    let rows = rows ?? Array(joined.gold.indices)
    return try JudgedPairs(
      labels: labels, gold: rows.map { joined.gold[$0] },
      predictions: rows.map { joined.predictions[file][$0] }, relevant: relevant)
  }

  private func slices(_ gold: [GoldPair]) throws -> [String: [Int]] {
    var slices = ["few_pairs": LongTail.fewPairs(gold, atMost: fewPairs)]
    if !train.isEmpty {
      slices["rare_words"] = LongTail.rareWords(
        gold, in: try TrainingWords(paths: train), fewerThan: rareWords)
    }
    return slices
  }

  private func settings(_ files: [String], _ pairs: JudgedPairs) -> EvaluationSettings {
    EvaluationSettings(
      input: input, predictions: files,
      relevant: zip(labels.names, pairs.isRelevant).filter { $1 }.map { $0.0 },
      spearman: spearman, bootstrap: bootstrap, fewPairs: fewPairs,
      train: train.isEmpty ? nil : train.joined(separator: ", "), rareWords: rareWords)
  }
}
