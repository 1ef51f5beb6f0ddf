import Foundation
import Relevance

/// Evaluations as tables for people.
enum EvalTable {
  static func text(_ report: EvaluationReport<Evaluation>) -> String {
    let slices = sliceNames(report.slices)
    let columns = [report.overall] + slices.compactMap { report.slices[$0] }
    var rows = [["metric, 95 % interval", "all pairs"] + slices.map(title)]
    for metric in Metric.allCases {
      rows.append([metric.name] + columns.map { cell($0[metric]) })
    }
    rows.append(["pairs"] + columns.map { String($0.counts.pairs) })
    rows.append(["queries"] + columns.map { String($0.counts.queries) })
    rows.append(["queries with NDCG@10"] + columns.map { String($0.counts.rankedQueries) })
    var text = grid(rows) + "\n" + labels(report.overall) + "\n" + confusion(report.overall)
    text += "\n" + footer(report.settings, report.coverage, slices) + notes("", report.overall)
    for slice in slices {
      if let part = report.slices[slice] { text += notes("\(title(slice)): ", part) }
    }
    return text
  }

  static func text(_ report: EvaluationReport<EvaluationComparison>) -> String {
    let slices = sliceNames(report.slices)
    var text = ""
    for (title, part) in [("all pairs", report.overall)]
      + slices.compactMap({ name in report.slices[name].map { (title(name), $0) } })
    {
      var rows = [["\(title): \(part.a.counts.pairs)", "a", "b", "b − a", "95 % interval", "p"]]
      for metric in Metric.allCases {
        guard let difference = part.differences[metric] else { continue }
        rows.append([
          metric.name, number(part.a[metric].value), number(part.b[metric].value),
          number(difference.value, sign: true),
          range(difference.low, difference.high, sign: true), number(difference.pValue),
        ])
      }
      text += grid(rows) + "\n"
    }
    for (letter, path) in zip(["a", "b"], report.settings.predictions) { text += "\(letter): \(path)\n" }
    text += footer(report.settings, report.coverage, slices)
    return text + notes("a: ", report.overall.a) + notes("b: ", report.overall.b)
  }

  private static func sliceNames<Part>(_ slices: [String: Part]) -> [String] { slices.keys.sorted() }

  private static func title(_ slice: String) -> String { slice.replacing("_", with: " ") }

  private static func labels(_ evaluation: Evaluation) -> String {
    var rows = [["label", "precision", "recall", "F1", "gold", "predicted"]]
    for label in evaluation.labels {
      rows.append([
        label.label, number(label.precision), number(label.recall), number(label.f1), String(label.gold),
        String(label.predicted),
      ])
    }
    return grid(rows)
  }

  private static func confusion(_ evaluation: Evaluation) -> String {
    let names = evaluation.labels.map(\.label)
    var rows = [["gold ↓ predicted →"] + names]
    for (name, counts) in zip(names, evaluation.confusion) { rows.append([name] + counts.map { String($0) }) }
    return grid(rows)
  }

  private static func footer(
    _ settings: EvaluationSettings, _ coverage: EvaluationInput.Coverage, _ slices: [String]
  ) -> String {
    var text = "AUC: \(settings.relevant.joined(separator: ", ")) against the others; "
    text += "Spearman by \(settings.spearman.rawValue); \(settings.resamples) resamples of the queries, "
    text += "seed \(settings.seed)\n"
    text += "few pairs: queries with at most \(settings.fewPairs)"
    if let train = settings.train {
      let few = settings.rareWords == 1 ? "no query" : "fewer than \(settings.rareWords) queries"
      text +=
        "; rare words: queries with a word that \(few) of \(train) \(settings.rareWords == 1 ? "has" : "have")"
    }
    let gaps = [
      (coverage.missing, "without prediction"), (coverage.unlabelled, "without gold label"),
      (coverage.badRows, "unreadable"), (coverage.unmatched, "predictions without pair"),
    ].filter { $0.0 > 0 }
    if !gaps.isEmpty { text += "\nleft out: " + gaps.map { "\($0.0) \($0.1)" }.joined(separator: ", ") }
    return text + "\n"
  }

  private static func notes(_ prefix: String, _ evaluation: Evaluation) -> String {
    evaluation.notes.sorted { $0.key < $1.key }
      .map { "\(prefix)\(Metric(rawValue: $0.key)?.name ?? $0.key): \($0.value)\n" }.joined()
  }

  private static func cell(_ estimate: MetricEstimate) -> String {
    guard estimate.value != nil else { return "–" }
    let interval = estimate.low == nil ? "" : "  " + range(estimate.low, estimate.high)
    return number(estimate.value) + interval
  }

  private static func range(_ low: Double?, _ high: Double?, sign: Bool = false) -> String {
    guard let low, let high else { return "–" }
    return "[\(number(low, sign: sign)), \(number(high, sign: sign))]"
  }

  private static func number(_ value: Double?, sign: Bool = false) -> String {
    value.map { String(format: sign ? "%+.4f" : "%.4f", $0) } ?? "–"
  }

  /// Columns as wide as their widest cell; the first flush left, the others flush right.
  private static func grid(_ rows: [[String]]) -> String {
    guard let header = rows.first else { return "" }
    let widths = header.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    func line(_ cells: [String]) -> String {
      zip(cells, widths).enumerated().map { column, cell in
        let padding = String(repeating: " ", count: cell.1 - cell.0.count)
        return column == 0 ? cell.0 + padding : padding + cell.0
      }.joined(separator: "  ") + "\n"
    }
    let rule = line(widths.map { String(repeating: "─", count: $0) })
    return line(header) + rule + rows.dropFirst().map(line).joined()
  }
}
