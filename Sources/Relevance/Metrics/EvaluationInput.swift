import Basics

/// Gold pairs joined with predictions by `pair_id`, and what found no partner.
public struct EvaluationInput: Sendable {
  /// What of the files is in the evaluation and what is not.
  public struct Coverage: Sendable, Equatable, Codable {
    /// Pairs with a gold label and a prediction.
    public let evaluated: Int
    /// Pairs with a gold label and no prediction.
    public let missing: Int
    /// Predictions for pairs that the input has not.
    public let unmatched: Int
    /// Rows of the input without a gold label.
    public let unlabelled: Int
    /// Rows of the input that could not be read.
    public let badRows: Int

    enum CodingKeys: String, CodingKey {
      case evaluated, missing, unmatched, unlabelled
      case badRows = "bad_rows"
    }
  }

  /// What the join does with rows and predictions that have no partner.
  public enum Gaps: Sendable {
    /// Any is an error.
    case refused
    /// They are counted and left out.
    case counted
  }

  public let gold: [GoldPair]
  /// For each file of predictions its predictions in the order of `gold`.
  public let predictions: [[Prediction]]
  public let coverage: Coverage
  /// A sentence for each kind of gap.
  public let warnings: [String]

  /// Joins; of several files, a pair counts as predicted only where all have it.
  ///
  /// - Throws: `malformedRow` or `malformedFile` where there are gaps and `gaps` refuses them, and where nothing is
  ///   left to evaluate.
  public init(gold file: GoldFile, predictions files: [PredictionFile], gaps: Gaps = .refused) throws {
    var gold: [GoldPair] = []
    var predictions = [[Prediction]](repeating: [], count: files.count)
    var missing: [GapList.Entry] = []
    for (pair, line) in zip(file.pairs, file.lines) {
      let found = files.compactMap { $0.predictions[pair.pairID] }
      guard found.count == files.count else {
        missing.append(GapList.Entry(pairID: pair.pairID, line: line))
        continue
      }
      gold.append(pair)
      for index in found.indices { predictions[index].append(found[index]) }
    }
    let known = Set(file.pairs.map(\.pairID)).union(file.unlabelled.map(\.pairID))
    let unmatched = Set(files.flatMap { $0.predictions.keys }).subtracting(known).sorted()
    let problems = EvaluationInput.problems(
      file, missing: missing, unmatched: unmatched.map { GapList.Entry(pairID: $0, line: nil) },
      files)
    if gaps == .refused, let problem = problems.first { throw problem }
    guard !gold.isEmpty else {
      throw problems.first
        ?? RetortError(
          .malformedFile, "there is no pair to evaluate", file: file.path, field: "label",
          remedy: "Pass an input whose rows have a label.")
    }
    self.gold = gold
    self.predictions = predictions
    coverage = Coverage(
      evaluated: gold.count, missing: missing.count, unmatched: unmatched.count,
      unlabelled: file.unlabelled.count, badRows: file.badRows.count)
    warnings = problems.map { "\($0.file ?? ""): \($0.message)" }
  }

  private static func problems(
    _ file: GoldFile, missing: [GapList.Entry], unmatched: [GapList.Entry], _ files: [PredictionFile]
  ) -> [RetortError] {
    var problems: [RetortError] = []
    func names(_ isConcerned: (PredictionFile) -> Bool) -> String {
      files.filter(isConcerned).map(\.path).joined(separator: ", ")
    }
    if let first = file.badRows.first {
      problems.append(
        RetortError(
          .malformedRow, "\(file.badRows.count) rows cannot be read; the first: \(first.reason.message)",
          file: file.path, field: first.reason.field, position: "line \(first.line)",
          remedy: "\(first.reason.remedy) Or pass --partial to evaluate the other rows."))
    }
    if !file.unlabelled.isEmpty {
      problems.append(
        RetortError(
          .malformedRow, "\(file.unlabelled.count) rows have no gold label: \(GapList.text(file.unlabelled))",
          file: file.path, field: "label",
          remedy: "Give them a label, or pass --partial to evaluate the other rows."))
    }
    if !missing.isEmpty {
      problems.append(
        RetortError(
          .malformedFile,
          "\(missing.count) of \(file.pairs.count) pairs have no prediction: \(GapList.text(missing))",
          file: names { file in missing.contains { file.predictions[$0.pairID] == nil } }, field: "pair_id",
          remedy: "Predict them too, or pass --partial to evaluate the other pairs."))
    }
    if !unmatched.isEmpty {
      problems.append(
        RetortError(
          .malformedFile,
          "\(unmatched.count) predictions are of pairs that the input has not: \(GapList.text(unmatched))",
          file: names { file in unmatched.contains { file.predictions[$0.pairID] != nil } }, field: "pair_id",
          remedy: "Pass the input that was predicted, or --partial to leave those predictions out."))
    }
    return problems
  }
}
