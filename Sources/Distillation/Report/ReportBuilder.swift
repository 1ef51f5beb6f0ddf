import Relevance

/// Makes the report page of one or several training runs.
///
/// It reads and writes nothing, and equal runs give equal bytes.
public struct ReportBuilder: Sendable {
  public let runs: [ReportedRun]
  /// Grids that some of the runs belong to.
  public let grids: [ReportedGrid]
  /// How many disagreements with the teacher are shown at most.
  public let examples: Int
  let title: String

  public init(
    runs: [ReportedRun], grids: [ReportedGrid] = [], examples: Int = 20, title: String? = nil
  ) {
    self.runs = runs
    self.grids = grids
    self.examples = max(0, examples)
    self.title = title ?? (runs.count == 1 ? "Training run \(runs[0].name)" : "\(runs.count) training runs")
  }

  /// The anchors of the sections that these runs have something for, in their order.
  public var sectionIDs: [String] { sections.map(\.id.source) }

  /// The page.
  public var html: String { HTMLPage(title: title, lead: lead, sections: sections).html }

  private var sections: [HTMLPage.Section] {
    [
      ("metrics", "Metrics", metricsSection), ("ablation", "Ablation", ablationSection),
      ("curves", "Training", curvesSection), ("calibration", "Calibration", calibrationSection),
      ("confusion", "Confusion", confusionSection), ("aspects", "Agreement by aspect", aspectSection),
      ("tail", "Long tail", tailSection),
      ("disagreements", "Where student and teacher disagree", examplesSection),
      ("teacher", "The teacher", teacherSection), ("settings", "Settings and inputs", settingsSection),
    ].compactMap { id, title, content in
      content.map { HTMLPage.Section(id: Markup(stringLiteral: id), title: title, content: $0) }
    }
  }

  private var lead: Markup {
    var sentences: [Markup] = []
    if runs.count == 1, let run = runs.first {
      let kind = run.student.map { "\(PageParts.isolated($0)) student" as Markup } ?? "student"
      let base = run.baseModel.map { " from \(PageParts.isolated($0))" as Markup } ?? ""
      sentences.append("One \(kind)\(base), trained on \(run.lossName).")
    } else {
      let kinds = Figure.list(distinct(runs.compactMap(\.student)))
      sentences.append("\(runs.count) runs\(kinds.isEmpty ? "" : " of \(kinds) students").")
    }
    if let evaluation = runs.compactMap(\.evaluation).first {
      let counts = evaluation.overall.counts
      sentences.append(
        "Measured on \(Figure.count(counts.pairs)) pairs of \(Figure.count(counts.queries)) queries.")
    }
    let waiting = runs.filter { $0.evaluation == nil }.map(\.name)
    let gaps = runs.contains { !$0.notes.isEmpty }
    if gaps { sentences.append("What could not be shown stands under <a href=\"#settings\">Settings</a>.") }
    if !waiting.isEmpty { sentences.append("Not evaluated yet: \(Figure.list(waiting)).") }
    return "<p class=\"lead\">\(sentences.joined(separator: " "))</p>"
  }

  /// Runs with metrics, with their places among all runs, which choose their colours.
  var evaluated: [(index: Int, run: ReportedRun, report: EvaluationReport<Evaluation>)] {
    runs.enumerated().compactMap { index, run in run.evaluation.map { (index, run, $0) } }
  }

  func distinct(_ words: [String]) -> [String] {
    var seen: Set<String> = []
    return words.filter { seen.insert($0).inserted }
  }

  /// A run's name behind a spot of its colour.
  func key(_ index: Int, _ name: String) -> Markup {
    let words = PageParts.name(Figure.shortened(name, to: 200))
    guard runs.count > 1 else { return words }
    return "<span class=\"run\"><span class=\"key \(SVGChart.style(index))\"></span>\(words)</span>"
  }

  /// The runs' names beside their colours, where a drawing has no room for them.
  func legend(_ entries: [(index: Int, run: ReportedRun)]) -> Markup {
    let items = entries.map { "<li>\(key($0.index, $0.run.name))</li>" as Markup }.joined(separator: "\n")
    let dashes: Markup =
      entries.contains { $0.index >= SVGChart.colours }
      ? "<p class=\"soft\">Lines of runs with a hollow mark are dashed.</p>" : ""
    return "<ul class=\"legend\">\(items)</ul>\(dashes)\n"
  }
}

/// What intervals say of two values.
enum IntervalWords {
  /// Whether two intervals share a value; nil where one is missing.
  static func overlap(_ a: MetricEstimate, _ b: MetricEstimate) -> Bool? {
    guard let aLow = a.low, let aHigh = a.high, let bLow = b.low, let bHigh = b.high else { return nil }
    return aLow <= bHigh && bLow <= aHigh
  }

  /// The better of two values; of equals the first.
  static func isBetter(_ a: Double, _ b: Double, _ metric: Metric) -> Bool {
    metric.higherIsBetter ? a > b : a < b
  }

  /// The place of the best value.
  static func best(_ estimates: [MetricEstimate], _ metric: Metric) -> Int? {
    var best: (place: Int, value: Double)?
    for (place, estimate) in estimates.enumerated() {
      guard let value = estimate.value, value.isFinite else { continue }
      if let known = best, !isBetter(value, known.value, metric) { continue }
      best = (place, value)
    }
    return best?.place
  }

  /// One sentence: which is best, and which others' intervals overlap its own.
  static func sentence(_ metric: Metric, _ rows: [(name: String, estimate: MetricEstimate)]) -> String? {
    let rows = rows.filter { $0.estimate.value?.isFinite == true }
    guard rows.count > 1, let place = best(rows.map(\.estimate), metric) else { return nil }
    let winner = rows[place]
    let others = rows.enumerated().filter { $0.offset != place }.map(\.element)
    let start =
      "\(winner.name) is \(metric.higherIsBetter ? "highest" : "lowest") with \(Figure.text(winner.estimate.value))"
    let verdicts = others.map { ($0, overlap(winner.estimate, $0.estimate)) }
    if verdicts.contains(where: { $0.1 == nil }) {
      return start + "; without intervals, nothing can be said about chance."
    }
    let near = verdicts.filter { $0.1 == true }.map(\.0)
    if near.isEmpty {
      return start + "; its interval overlaps \(others.count == 1 ? "not the other" : "none of the others")."
    }
    let names =
      near.count <= 3
      ? Figure.list(near.map { "\($0.name) (\(Figure.text($0.estimate.value)))" })
      : "\(near.count) of the \(others.count) others"
    let object = near.count == 1 ? "that of \(names)" : "those of \(names)"
    return start + "; its interval overlaps \(object), so these data do not set them apart."
  }
}
