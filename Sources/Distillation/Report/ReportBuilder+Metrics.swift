import Relevance

extension ReportBuilder {
  /// Headline metrics of all runs side by side.
  var metricsSection: Markup? {
    guard !evaluated.isEmpty else { return nil }
    var content: Markup = ""
    if let warning = comparability { content += PageParts.paragraph("<strong>\(warning)</strong>") }
    if evaluated.count > 1 {
      content += PageParts.list(
        [.auc, .macroF1, .ndcgAt10].compactMap { metric in
          IntervalWords.sentence(metric, evaluated.map { ($0.run.name, $0.report.overall[metric]) })
            .map { "<b>\(metric.title)</b>: \($0)" }
        })
    }
    content += evaluated.count == 1 ? singleChart : panels
    content += metricsTable(
      evaluated.map { (key($0.index, $0.run.name), $0.report.overall) },
      caption: "Each value with its 95 % interval, from resampling queries.\(bestHint)")
    return content + notes(evaluated.map { ($0.run.name, $0.report.overall) })
  }

  private var bestHint: String { evaluated.count > 1 ? " ▲ marks the best value of a column." : "" }

  /// Why metrics must not be compared, where the runs were measured on different pairs.
  private var comparability: String? {
    if Set(evaluated.map { $0.run.labels?.json }).count > 1 {
      return "These runs have different label sets, so their metrics are not comparable."
    }
    let files = evaluated.map { entry in
      entry.run.settings.first { $0.key == "inputs.dev.sha256" }?.value
        ?? "\(entry.report.overall.counts.pairs) \(entry.report.settings.input)"
    }
    return Set(files).count > 1
      ? "These runs were measured on different pairs, so their metrics are not comparable." : nil
  }

  /// All metrics but the log loss share a scale, so one run needs one drawing.
  private var singleChart: Markup {
    guard let entry = evaluated.first else { return "" }
    let metrics = Metric.allCases.filter { $0 != .logLoss }
    let lowest =
      metrics.compactMap { entry.report.overall[$0].low ?? entry.report.overall[$0].value }.min() ?? 0
    let chart = WhiskerChart(
      title: "Metrics of \(entry.run.name)",
      rows: metrics.map { .init(name: $0.title, series: 0, estimate: entry.report.overall[$0]) },
      bounds: (lowest < 0 ? -1 : 0)...1, width: 760)
    var narrow = chart
    (narrow.width, narrow.nameWidth) = (400, 138)
    return PageParts.figure(
      PageParts.drawings(wide: chart.svg(id: "metrics-0"), narrow: narrow.svg(id: "metrics-n")),
      caption: "Dots are values, whiskers their 95 % intervals. Calibration error is better the lower it is.")
  }

  private var panels: Markup {
    PageParts.grid(
      Metric.allCases.enumerated().map { index, metric in
        let baselines = evaluated.filter { $0.run.losses == ["hard"] }
        let chart = WhiskerChart(
          title: metric.title,
          rows: evaluated.map {
            .init(name: $0.run.name, series: $0.index, estimate: $0.report.overall[metric])
          },
          reference: baselines.count == 1 ? baselines.first?.report.overall[metric].value : nil)
        let direction = metric.higherIsBetter ? "higher is better" : "lower is better"
        let reference: Markup = baselines.count == 1 ? "; dashed: human labels alone" : ""
        return PageParts.figure(
          chart.svg(id: "metrics-\(index)"), caption: "<b>\(metric.title)</b>, \(direction)\(reference)")
      })
  }

  /// Rows are evaluations, columns metrics; the best of a column is marked where rows are rivals.
  func metricsTable(
    _ rows: [(name: Markup, evaluation: Evaluation)], caption: Markup, marksBest: Bool = true
  ) -> Markup {
    let head: [Markup] = [""] + Metric.allCases.map { "\($0.title)" }
    let counts = rows.map { row -> Markup in
      let counts = row.evaluation.counts
      return "\(Figure.count(counts.pairs)) pairs, \(Figure.count(counts.queries)) queries"
    }
    // What all rows have in common is said once.
    let common = counts.first.flatMap { first in counts.allSatisfy { $0 == first } ? first : nil }
    let best = Metric.allCases.map { metric in
      marksBest && rows.count > 1 ? IntervalWords.best(rows.map { $0.evaluation[metric] }, metric) : nil
    }
    return PageParts.table(
      caption: common.map { "\(caption) \($0)." } ?? caption, head: head,
      rows: rows.enumerated().map { place, row in
        let values = zip(Metric.allCases, best).map { metric, best in
          let estimate = row.evaluation[metric]
          let text = PageParts.estimate(estimate.value, estimate.low, estimate.high)
          return best == place ? "<span class=\"best\">\(text)</span>" as Markup : text
        }
        return [common == nil ? "\(row.name)<small>\(counts[place])</small>" : row.name] + values
      }, style: "metrics")
  }

  /// Why metrics are not defined.
  func notes(_ rows: [(name: String, evaluation: Evaluation)]) -> Markup {
    PageParts.list(
      rows.flatMap { row in
        row.evaluation.notes.sorted { $0.key < $1.key }.map { note in
          let metric = Metric(rawValue: note.key)?.title ?? note.key
          return "\(PageParts.isolated(row.name)), \(metric): \(note.value)." as Markup
        }
      })
  }

  /// Metrics of the slices of rare queries.
  var tailSection: Markup? {
    let slices = Set(evaluated.flatMap { $0.report.slices.keys }).sorted()
    guard !slices.isEmpty else { return nil }
    var content: Markup = ""
    for slice in slices { content += PageParts.paragraph("<b>\(title(slice))</b>: \(meaning(slice))") }
    if evaluated.count == 1, let entry = evaluated.first {
      let rows: [(String, Evaluation)] =
        [("all pairs", entry.report.overall)]
        + slices.compactMap { slice in entry.report.slices[slice].map { (title(slice), $0) } }
      let chart = WhiskerChart(
        title: "AUC by slice", rows: rows.map { .init(name: $0.0, series: 0, estimate: $0.1[.auc]) })
      content += PageParts.figure(chart.svg(id: "tail-0"), caption: "<b>AUC</b> by slice, higher is better")
      content += metricsTable(
        rows.map { ("\($0.0)", $0.1) }, caption: "Metrics by slice, each with its 95 % interval.",
        marksBest: false)
      return content + notes(rows.dropFirst().map { ($0.0, $0.1) })
    }
    content += PageParts.grid(slices.enumerated().compactMap { tailPanel($0.offset, $0.element) })
    for slice in slices {
      let rows = evaluated.compactMap { entry in
        entry.report.slices[slice].map { (key(entry.index, entry.run.name), $0) }
      }
      content += metricsTable(rows, caption: "<b>\(title(slice))</b>: each value with its 95 % interval.")
    }
    return content + tailNotes(slices)
  }

  /// Why metrics of a slice are not defined; what holds of all runs is said once.
  private func tailNotes(_ slices: [String]) -> Markup {
    let notes = slices.flatMap { slice in
      evaluated.flatMap { entry in
        (entry.report.slices[slice]?.notes ?? [:]).map { note in
          "\(title(slice)), \(Metric(rawValue: note.key)?.title ?? note.key): \(note.value)."
        }.sorted()
      }
    }
    return PageParts.list(distinct(notes).map { "\($0)" })
  }

  private func tailPanel(_ index: Int, _ slice: String) -> Markup? {
    guard evaluated.contains(where: { $0.report.slices[slice]?[.auc].value != nil }) else { return nil }
    let chart = WhiskerChart(
      title: "AUC, \(title(slice))",
      rows: evaluated.compactMap { entry in
        entry.report.slices[slice].map {
          .init(name: entry.run.name, series: entry.index, estimate: $0[.auc])
        }
      })
    return PageParts.figure(
      chart.svg(id: "tail-\(index)"), caption: "<b>AUC, \(title(slice))</b>, higher is better")
  }

  private func title(_ slice: String) -> String {
    switch slice {
    case "few_pairs": "Queries with few pairs"
    case "rare_words": "Queries with rare words"
    default: slice.replacing("_", with: " ")
    }
  }

  private func meaning(_ slice: String) -> Markup {
    guard let settings = evaluated.first(where: { $0.report.slices[slice] != nil })?.report.settings else {
      return ""
    }
    switch slice {
    case "few_pairs": return "queries with at most \(settings.fewPairs) evaluated pairs."
    case "rare_words":
      return settings.rareWords == 1
        ? "queries with a word that no training query has."
        : "queries with a word that fewer than \(settings.rareWords) training queries have."
    default: return "a slice of the dev set."
    }
  }
}
