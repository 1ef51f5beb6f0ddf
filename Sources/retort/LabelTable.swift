import Foundation
import Relevance

/// The table of results for people: query, item, label, probability, one line of the rationale.
enum LabelTable {
  struct Row {
    let query: String
    let item: String
    let label: String
    let probability: Double
    let rationale: String

    init(_ pair: Pair, _ record: LabelRecord) {
      query = pair.query
      item = pair.title
      label = record.distribution.label.name
      probability = record.distribution.probabilities[record.distribution.index]
      let lines = (record.rationale ?? "").split(separator: "\n")
      // The line that decides is the first mismatch, else the first match.
      rationale =
        (lines.first { $0.contains(": mismatch") } ?? lines.first { $0.contains(": match") } ?? lines.first)
        .map(String.init) ?? ""
    }
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
