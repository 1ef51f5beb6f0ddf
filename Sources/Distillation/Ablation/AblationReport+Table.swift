import Foundation
import Relevance

extension AblationReport {
  private static var metrics: [Metric] { Metric.allCases }

  /// The table in Markdown; a second line of a cell is the difference to `hard`.
  public var markdown: String {
    var text = "| student | losses | " + Self.metrics.map(\.name).joined(separator: " | ") + " |\n"
    text += "|---|---|" + String(repeating: "---|", count: Self.metrics.count) + "\n"
    for line in lines {
      let cells = Self.metrics.map { metric in
        let cell = line.cell(metric)
        return ([cell.value + cell.interval] + cell.difference).joined(separator: "<br>")
      }
      text += "| \(line.student) | \(line.losses) | " + cells.joined(separator: " | ") + " |\n"
    }
    return text + "\n" + footer
  }

  /// The table for a terminal: three lines a row.
  public var text: String {
    var rows: [[String]] = [["student", "losses"] + Self.metrics.map(\.name)]
    for line in lines {
      let cells = Self.metrics.map { line.cell($0) }
      rows.append([line.student, line.losses] + cells.map(\.value))
      rows.append(["", ""] + cells.map { $0.interval.trimmingCharacters(in: .whitespaces) })
      if cells.contains(where: { !$0.difference.isEmpty }) {
        rows.append(["", ""] + cells.map { $0.difference.first ?? "" })
      }
    }
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    let table = rows.map { row in
      zip(row, widths).enumerated().map { column, cell in
        let padding = String(repeating: " ", count: cell.1 - cell.0.count)
        return column < 2 ? cell.0 + padding : padding + cell.0
      }.joined(separator: "  ")
    }
    return table.joined(separator: "\n") + "\n\n" + footer
  }

  private var footer: String {
    var text =
      "\(pairs) held-out pairs of \(queries) queries (\(dev)); in brackets 95 % intervals over "
      + "\(resamples) resamples of the queries; Δ: the difference to hard, paired.\n"
    if rows.contains(where: { $0.seeds.count > 1 }) {
      text += "Means over the seeds; the intervals do not cover the draw of seeds.\n"
    }
    for row in rows where !row.diverged.isEmpty {
      let seeds = row.diverged.map { "\($0)" }.joined(separator: ", ")
      text += "Diverged and left out: \(row.student.rawValue), \(row.name), seed \(seeds).\n"
    }
    if let teacher, teacher.pairs < teacher.total {
      text +=
        "The teacher has records of \(teacher.pairs) of these \(teacher.total) pairs; its row is of those.\n"
    }
    return text
  }

  private struct Cell {
    let value: String
    let interval: String
    /// One entry, or none for the baseline.
    let difference: [String]
  }

  private struct Line {
    let student: String
    let losses: String
    let estimates: (Metric) -> MetricEstimate
    let differences: [Metric: MetricDifference]?

    func cell(_ metric: Metric) -> Cell {
      let estimate = estimates(metric)
      return Cell(
        value: AblationReport.number(estimate.value),
        interval: AblationReport.range(estimate.low, estimate.high, sign: false),
        difference: (differences?[metric]).map { difference in
          [
            "Δ " + AblationReport.number(difference.value, sign: true)
              + AblationReport.range(difference.low, difference.high, sign: true)
          ]
        } ?? [])
    }
  }

  private var lines: [Line] {
    let students = rows.map { row in
      Line(
        student: row.student.rawValue,
        losses: row.name + (row.seeds.count > 1 ? " (\(row.seeds.count) seeds)" : ""),
        estimates: { row.result[$0] }, differences: row.result.differences)
    }
    guard let teacher else { return students }
    return students + [
      Line(student: "teacher", losses: "–", estimates: { teacher.evaluation[$0] }, differences: nil)
    ]
  }

  private static func number(_ value: Double?, sign: Bool = false) -> String {
    value.map { String(format: sign ? "%+.4f" : "%.4f", $0) } ?? "–"
  }

  private static func range(_ low: Double?, _ high: Double?, sign: Bool) -> String {
    guard let low, let high else { return "" }
    return " [\(number(low, sign: sign)), \(number(high, sign: sign))]"
  }
}
