import Basics

/// The gold labels of a file of pairs.
public struct GoldFile: Sendable {
  /// What Spearman's correlation ranks by.
  public enum Value: String, Sendable, CaseIterable, Codable {
    /// The gain of the gold label.
    case gain
    /// The input's `grade`, the annotators' mean.
    case grade
  }

  public let path: String
  /// In the order of the file.
  public let pairs: [GoldPair]
  /// The line of each pair.
  let lines: [Int]
  /// Rows without a `label`.
  public let unlabelled: [GapList.Entry]
  /// Rows that could not be read.
  public let badRows: [RowError]

  /// Reads JSON Lines, CSV or TSV, by the extension.
  ///
  /// - Throws: what ``PairReader`` throws; `malformedRow` with file, line and field for a label outside the set, or,
  ///   where `value` is the grade, for a row that has none.
  public init(path: String, labels: LabelSet, value: Value = .gain) throws {
    let reader = try PairReader(path: path)
    var pairs: [GoldPair] = []
    var lines: [Int] = []
    var unlabelled: [GapList.Entry] = []
    var badRows: [RowError] = []
    while let row = try reader.next() {
      switch row {
      case .error(let error): badRows.append(error)
      case .pair(let pair, let line):
        guard let name = pair.label else {
          unlabelled.append(GapList.Entry(pairID: pair.pairID, line: line))
          continue
        }
        do {
          pairs.append(try GoldFile.gold(pair, label: name, labels, value))
          lines.append(line)
        } catch let error as RetortError {
          throw RetortError(
            error.code, error.message, file: path, field: error.field, position: "line \(line)",
            remedy: error.remedy)
        }
      }
    }
    self.path = path
    self.pairs = pairs
    self.lines = lines
    self.unlabelled = unlabelled
    self.badRows = badRows
  }

  private static func gold(_ pair: Pair, label name: String, _ labels: LabelSet, _ value: Value) throws
    -> GoldPair
  {
    guard let label = labels.index(of: name) else {
      throw RetortError(
        .malformedRow,
        "the label \"\(name)\" is not in the label set (\(labels.names.joined(separator: ", ")))",
        field: "label", remedy: "Correct the label, or evaluate with the label set of this file.")
    }
    var gold = labels.labels[label].gain
    if value == .grade {
      guard let grade = pair.grade else {
        throw RetortError(
          .malformedRow, "the grade is missing or not a number", field: "grade",
          remedy: "Give every row a grade, or rank by the label's gain.")
      }
      gold = grade
    }
    return GoldPair(
      pairID: pair.pairID, queryKey: QueryKey.of(pair), query: pair.query, label: label, value: gold)
  }
}

/// What tells queries apart: the id, or the words where a row has none.
enum QueryKey {
  static func of(_ pair: Pair) -> String {
    pair.queryID.map { "id \($0)" } ?? "text \(pair.query.flattenedLine.trimmedWhitespace)"
  }
}

/// Pairs that are left out, in words.
public struct GapList: Sendable, Equatable {
  /// A pair and the line it stands on, where that is known.
  public struct Entry: Sendable, Equatable {
    public let pairID: String
    public let line: Int?

    public init(pairID: String, line: Int?) {
      self.pairID = pairID
      self.line = line
    }
  }

  /// `a (line 3), b (line 9) and 4 more`.
  public static func text(_ entries: [Entry]) -> String {
    let shown = entries.prefix(3).map { entry in
      entry.line.map { "\(entry.pairID) (line \($0))" } ?? entry.pairID
    }
    let rest = entries.count - shown.count
    return shown.joined(separator: ", ") + (rest > 0 ? " and \(rest) more" : "")
  }

  /// What is wrong with a file in which ids stand twice, all of them counted and the first few listed; nil where
  /// there are none.
  ///
  /// - Parameter rows: what stands twice, such as `rows` or `records`.
  public static func repeated(_ entries: [Entry], file: String, rows: String, remedy: String) -> RetortError?
  {
    guard let first = entries.first else { return nil }
    return RetortError(
      .malformedRow,
      entries.count == 1
        ? "the pair_id \"\(first.pairID)\" stands in earlier \(rows)"
        : "\(entries.count) \(rows) have the pair_id of an earlier one: \(text(entries))",
      file: file, field: "pair_id", position: first.line.map { "line \($0)" }, remedy: remedy)
  }
}
