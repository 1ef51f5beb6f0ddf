import Foundation
import Labelling
import Relevance

/// The table of results for people: query, item, label, probability, one line of the rationale.
enum LabelTable {
  struct Row {
    let query: String
    let item: String
    let label: String
    let probability: Double
    let rationale: String

    /// - Parameter json: the pair's record, as a line of the output.
    init(_ pair: Pair, json: String) {
      query = pair.query
      item = pair.title
      var fields: [String: JSONValue] = [:]
      if case .object(let record)? = try? JSONValue.parse(Array(json.utf8)) { fields = record }
      label = Row.text(fields["label"])
      var probabilities: [String: JSONValue] = [:]
      if case .object(let values)? = fields["probabilities"] { probabilities = values }
      probability = Double(Row.text(probabilities[label])) ?? 0
      let lines = Row.text(fields["rationale"]).split(separator: "\n")
      // The line that decides is the first mismatch, else the first match.
      rationale =
        (lines.first { $0.contains(": mismatch") } ?? lines.first { $0.contains(": match") } ?? lines.first)
        .map(String.init) ?? ""
    }

    private static func text(_ value: JSONValue?) -> String {
      switch value {
      case .string(let text), .number(let text): text
      default: ""
      }
    }
  }

  /// The first rows that are labelled, with their pairs from the input.
  static func rows(_ ledger: LedgerReader, input: String, count: Int) throws -> [Row] {
    let records = try ledger.firstRecords(count)
    let reader = try PairReader(path: input)
    var rows: [Row] = []
    var number = 0
    while rows.count < records.count, let row = try reader.next() {
      if case .pair(let pair, _) = row, number == records[rows.count].row {
        rows.append(Row(pair, json: records[rows.count].json))
      }
      number += 1
    }
    return rows
  }

  static func text(_ rows: [Row]) -> String {
    guard !rows.isEmpty else { return "" }
    let widths = [26, 36, 10, 5, 48]
    func line(_ cells: [String]) -> String {
      zip(cells, widths).map { fit($0, $1) }.joined(separator: "  ") + "\n"
    }
    var text = line(["query", "item", "label", "p", "rationale"])
    text += line(widths.map { String(repeating: "─", count: $0) })
    for row in rows {
      text += line([row.query, row.item, row.label, String(format: "%.3f", row.probability), row.rationale])
    }
    return text
  }

  /// Cuts or pads to a width in characters.
  static func fit(_ text: String, _ width: Int) -> String {
    let flat = text.replacing("\n", with: " ")
    if flat.count > width { return flat.prefix(width - 1) + "…" }
    return flat + String(repeating: " ", count: width - flat.count)
  }
}
