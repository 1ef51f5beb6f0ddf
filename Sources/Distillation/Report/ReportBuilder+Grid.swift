import Relevance

extension ReportBuilder {
  /// A grid's table: means over seeds, and paired differences to human labels alone.
  func gridTable(_ grid: ReportedGrid) -> Markup {
    let table = grid.table
    let seeds = table.rows.map(\.seeds.count).max() ?? 0
    let mean: Markup =
      seeds > 1 ? " Values are means over the seeds; the intervals do not cover the draw of seeds." : ""
    var content = PageParts.paragraph(
      """
      \(Figure.count(table.pairs)) pairs of \(Figure.count(table.queries)) queries.\(mean) The line that begins with Δ is \
      the difference to the same student on human labels alone (<i>hard</i>), measured on the same \
      \(Figure.count(table.resamples)) resamples of the queries; <i>better</i> and <i>worse</i> stand where its 95 % \
      interval has no zero.
      """)
    for student in distinct(table.rows.map(\.student.rawValue)) {
      let rows = table.rows.filter { $0.student.rawValue == student }
      content += PageParts.table(
        caption: "<b>Student: \(PageParts.isolated(student))</b>. ▲ marks the best value of a column.",
        head: gridHead, rows: gridRows(rows), style: "metrics")
    }
    if let teacher = table.teacher {
      let part: Markup =
        teacher.pairs < teacher.total
        ? ", which has judged \(Figure.count(teacher.pairs)) of these \(Figure.count(teacher.total)) pairs"
        : ""
      content += PageParts.table(
        caption: "<b>The teacher itself</b>\(part)", head: gridHead,
        rows: [["teacher"] + Metric.allCases.map { cell(teacher.evaluation[$0], nil, $0) }], style: "metrics")
    }
    return content + PageParts.list(gridNotes(grid))
  }

  private var gridHead: [Markup] { ["Losses"] + Metric.allCases.map { "\($0.title)" } }

  private func gridRows(_ rows: [AblationReport.Row]) -> [[Markup]] {
    let best = Metric.allCases.map { metric in
      rows.count > 1 ? IntervalWords.best(rows.map { $0.result[metric] }, metric) : nil
    }
    return rows.enumerated().map { place, row in
      let seeds: Markup =
        row.seeds.count == 1
        ? "<small>seed \(String(row.seeds[0]))</small>" : "<small>\(row.seeds.count) seeds</small>"
      return ["\(PageParts.name(row.losses.joined(separator: " + ")))\(seeds)"]
        + zip(Metric.allCases, best).map { metric, best in
          let text = cell(row.result[metric], row.result.differences?[metric], metric)
          return best == place ? "<span class=\"best\">\(text)</span>" as Markup : text
        }
    }
  }

  private func cell(_ estimate: MetricEstimate, _ difference: MetricDifference?, _ metric: Metric) -> Markup {
    PageParts.estimate(estimate.value, estimate.low, estimate.high)
      + (difference.map { ReportBuilder.paired($0, metric) } ?? "")
  }

  /// `Δ +0.050`, its interval, and a word where chance is unlikely.
  static func paired(_ difference: MetricDifference, _ metric: Metric) -> Markup {
    guard let value = difference.value else { return "" }
    var lines: Markup = "<small class=\"delta\">Δ \(Figure.text(value, signed: true))</small>"
    guard let low = difference.low, let high = difference.high, low.isFinite, high.isFinite else {
      return lines
    }
    lines += "<small>\(Figure.interval(low, high) ?? "")</small>"
    if low > 0 || high < 0 {
      lines +=
        IntervalWords.isBetter(value, 0, metric)
        ? "<small><b>better</b></small>" : "<small><b>worse</b></small>"
    }
    return lines
  }

  private func gridNotes(_ grid: ReportedGrid) -> [Markup] {
    var notes: [Markup] = grid.table.rows.filter { !$0.diverged.isEmpty }.map { row in
      let seeds = Figure.list(row.diverged.map { String($0) })
      return
        "\(row.student.rawValue), \(row.losses.joined(separator: " + ")): seed \(seeds) diverged and is left out."
    }
    if !grid.stale.isEmpty {
      notes.append(
        """
        The table was made without the metrics that these runs have now: \(Figure.list(grid.stale)). \
        <code>retort ablate</code> makes it anew.
        """)
    }
    return notes
  }
}
