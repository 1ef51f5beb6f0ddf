import Basics
import Relevance

/// A job's records beside the human labels of its input.
public struct CalibrationExamples: Sendable {
  public private(set) var examples: [CalibrationExample] = []
  /// Pairs without a human label.
  public private(set) var unlabelled = 0
  /// Human labels that are not in the label set, with how often each stands there.
  public private(set) var unknown: [String: Int] = [:]
  /// Pairs with a human label that the job has no record of.
  public private(set) var unanswered = 0

  /// Walks through the input and the ledger together; memory holds the examples only.
  ///
  /// - Parameter limit: only rows before this number.
  /// - Throws: what reading the two throws; `malformedFile` where a record lacks a label's probability.
  public init(_ ledger: LedgerReader, input: String, labels: LabelSet, before limit: Int? = nil) throws {
    let cursor = try ledger.cursor(.done, before: limit)
    var record = try cursor.next()
    try CalibrationExamples.forEachPair(input, before: limit) { row, pair in
      while let found = record, found.number < row { record = try cursor.next() }
      guard let label = place(of: pair, labels) else { return }
      guard let found = record, found.number == row else {
        unanswered += 1
        return
      }
      let probabilities = try found.withText {
        try CalibrationExamples.probabilities(Array($0), labels, ledger.path)
      }
      examples.append(
        CalibrationExample(
          probabilities: probabilities, label: label, group: pair.queryID ?? pair.query))
    }
  }

  /// Reads the human labels alone, so that a file without them is refused before a model works on it.
  ///
  /// - Throws: `invalidArgument` where fewer than 20 pairs have a label of the set; what reading throws.
  public static func check(input: String, labels: LabelSet, before limit: Int? = nil) throws {
    var found = CalibrationExamples()
    var usable = 0
    try forEachPair(input, before: limit) { _, pair in
      if found.place(of: pair, labels) != nil { usable += 1 }
    }
    guard usable >= CalibrationFit.minimumExamples else {
      let others = found.unknown.keys.sorted().prefix(5).map { "\"\($0)\"" }.joined(separator: ", ")
      throw RetortError(
        .invalidArgument,
        "only \(usable) pairs have a label of \(labels.names.joined(separator: ", "))"
          + (others.isEmpty ? "" : "; others have \(others)"), file: input, field: "label",
        remedy: "Give at least \(CalibrationFit.minimumExamples) pairs with a \"label\" of the label set "
          + "(--labels).")
    }
  }

  private init() {}

  private static func forEachPair(_ input: String, before limit: Int?, _ body: (Int, Pair) throws -> Void)
    throws
  {
    let reader = try PairReader(path: input)
    var number = 0
    while number < limit ?? .max, let row = try reader.next() {
      if case .pair(let pair, _) = row { try body(number, pair) }
      number += 1
    }
  }

  /// The human label's place; counts the pair where it has none of the set.
  private mutating func place(of pair: Pair, _ labels: LabelSet) -> Int? {
    guard let label = pair.label else {
      unlabelled += 1
      return nil
    }
    if let index = labels.index(of: label) { return index }
    unknown[label, default: 0] += 1
    return nil
  }

  private static func probabilities(_ bytes: [UInt8], _ labels: LabelSet, _ path: String) throws -> [Double] {
    if case .object(let fields)? = try? JSONValue.parse(bytes),
      case .object(let values)? = fields["probabilities"]
    {
      let read = labels.names.compactMap { name -> Double? in
        guard case .number(let digits)? = values[name] else { return nil }
        return Double(digits)
      }
      if read.count == labels.count { return read }
    }
    throw RetortError(
      .malformedFile, "a record lacks the probability of a label", file: path, field: "probabilities",
      remedy: "Label the pairs again with --restart.")
  }
}
