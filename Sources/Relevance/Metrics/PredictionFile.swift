import Basics

/// Predictions by `pair_id`, read from records as `retort label` writes them.
///
/// Of a record `pair_id`, `probabilities` (each label of the set, summing to 1) and, where given, `label` are read.
public struct PredictionFile: Sendable {
  /// How far from 1 the probabilities of a record may sum.
  static let sumTolerance = 1e-3

  public let path: String
  public let predictions: [String: Prediction]

  /// Reads JSON Lines.
  ///
  /// - Throws: `fileUnavailable`; `malformedRow` with file, line and field for the first record that is unreadable,
  ///   does not fit `labels`, or has the `pair_id` of an earlier one.
  public init(path: String, labels: LabelSet) throws {
    var reader = JSONLinesReader(stream: try ByteStream(path: path), maximumBytes: 1 << 22)
    var predictions: [String: Prediction] = [:]
    while let (line, fields) = try reader.next() {
      do {
        let (pairID, prediction) = try PredictionFile.prediction(fields.get(), labels)
        guard predictions.updateValue(prediction, forKey: pairID) == nil else {
          throw PredictionFile.problem(
            "the pair_id \"\(pairID)\" stands in an earlier record", "pair_id",
            "Keep one record a pair; 'retort merge' joins shards.")
        }
      } catch let error as RetortError {
        throw RetortError(
          error.code, error.message, file: path, field: error.field, position: "line \(line)",
          remedy: error.remedy)
      }
    }
    self.path = path
    self.predictions = predictions
  }

  static func prediction(_ fields: [String: JSONValue], _ labels: LabelSet) throws -> (
    String, Prediction
  ) {
    let pairID: String
    switch fields["pair_id"] {
    case .string(let text), .number(let text): pairID = text
    default:
      throw problem(
        "the field is missing or not a string", "pair_id", "Pass records as 'retort label' writes them.")
    }
    let distribution = try distribution(fields["probabilities"], labels)
    switch fields["label"] {
    case nil, .null: return (pairID, Prediction(distribution: distribution))
    case .string(let name), .number(let name):
      guard let label = labels.index(of: name) else { throw unknown(name, "label", labels) }
      return (pairID, Prediction(label: label, distribution: distribution))
    case .some(let other):
      throw problem(
        "expected a string, found \(other.kind)", "label", "Write the label's name or leave it out.")
    }
  }

  private static func distribution(_ value: JSONValue?, _ labels: LabelSet) throws -> LabelDistribution {
    guard case .object(let entries)? = value else {
      throw problem(
        "expected an object, found \(value?.kind ?? "nothing")", "probabilities",
        "Give each label its probability, as 'retort label' does.")
    }
    var probabilities = [Double?](repeating: nil, count: labels.count)
    for (name, entry) in entries.sorted(by: { $0.key < $1.key }) {
      guard let index = labels.index(of: name) else { throw unknown(name, "probabilities", labels) }
      guard case .number(let digits) = entry, let number = Double(digits), number >= 0, number <= 1 else {
        throw problem(
          "the probability of \"\(name)\" is not a number from 0 to 1", "probabilities",
          "Give each label a number from 0 to 1.")
      }
      probabilities[index] = number
    }
    if let absent = probabilities.firstIndex(of: nil) {
      throw problem(
        "the label \"\(labels.names[absent])\" has no probability", "probabilities",
        "Evaluate with the label set that the predictions were made with.")
    }
    let known = probabilities.compactMap { $0 }
    let sum = known.reduce(0, +)
    guard abs(sum - 1) <= sumTolerance else {
      throw problem("the probabilities sum to \(sum)", "probabilities", "Make them sum to 1.")
    }
    return try LabelDistribution(labels: labels, probabilities: known)
  }

  private static func unknown(_ name: String, _ field: String, _ labels: LabelSet) -> RetortError {
    problem(
      "the label \"\(name)\" is not in the label set (\(labels.names.joined(separator: ", ")))", field,
      "Evaluate with the label set that the predictions were made with.")
  }

  static func problem(_ message: String, _ field: String, _ remedy: String) -> RetortError {
    RetortError(.malformedRow, message, field: field, remedy: remedy)
  }
}
