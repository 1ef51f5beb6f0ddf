import Relevance

extension ReportBuilder {
  /// What each loss adds, by student: the grids' own tables, and other runs where they differ in losses or student.
  var ablationSection: Markup? {
    var content: Markup = ""
    for grid in grids { content += gridTable(grid) }
    let others = evaluated.filter { entry in !grids.contains { $0.holds(entry.run) } }
    content += singles(others) ?? ""
    return content == "" ? nil : content
  }

  /// Runs side by side, of which only single intervals are known.
  private func singles(_ entries: [Member]) -> Markup? {
    let kinds = Set(entries.map { "\($0.run.student ?? "") \($0.run.losses)" })
    guard entries.count > 1, kinds.count > 1 else { return nil }
    let students = distinct(entries.map { $0.run.student ?? "" })
    var content = PageParts.paragraph(
      """
      Below each value is its difference to the run on human labels alone (<i>hard</i>) of the same student, and whether \
      the two 95 % intervals overlap. Intervals of single runs are cautious: <code>retort eval --compare</code> tests two \
      runs on the same pairs and finds smaller differences. Runs with one seed each do not show how much a seed moves.
      """)
    for student in students {
      content += table(student, entries.filter { ($0.run.student ?? "") == student })
    }
    return content
  }

  private typealias Member = (index: Int, run: ReportedRun, report: EvaluationReport<Evaluation>)

  private func table(_ student: String, _ members: [Member]) -> Markup {
    let base = members.first { $0.run.losses == ["hard"] }
    let best = Metric.allCases.map { metric in
      members.count > 1 ? IntervalWords.best(members.map { $0.report.overall[metric] }, metric) : nil
    }
    let rows = members.enumerated().map { place, member in
      [key(member.index, rowName(member.run, members.map(\.run)))]
        + zip(Metric.allCases, best).map { metric, best in
          let estimate = member.report.overall[metric]
          var cell = PageParts.estimate(estimate.value, estimate.low, estimate.high)
          if let base, base.index != member.index {
            cell += ReportBuilder.difference(estimate, base.report.overall[metric], metric)
          }
          return best == place ? "<span class=\"best\">\(cell)</span>" as Markup : cell
        }
    }
    let absence: Markup = base == nil ? " There is no run on human labels alone, so no differences." : ""
    let name: Markup = student.isEmpty ? "Student not stated" : "Student: \(PageParts.isolated(student))"
    return PageParts.table(
      caption: "<b>\(name)</b>. ▲ marks the best value of a column.\(absence)",
      head: ["Losses"] + Metric.allCases.map { "\($0.title)" }, rows: rows, style: "metrics")
  }

  /// The losses, with the run's name where another run of the student has the same.
  private func rowName(_ run: ReportedRun, _ members: [ReportedRun]) -> String {
    members.count { $0.losses == run.losses } > 1 ? "\(run.lossName), \(run.name)" : run.lossName
  }

  /// `+0.012, overlaps`, `+0.050, apart, better`.
  static func difference(_ estimate: MetricEstimate, _ base: MetricEstimate, _ metric: Metric) -> Markup {
    guard let value = estimate.value, let from = base.value else { return "" }
    let words: String =
      switch IntervalWords.overlap(estimate, base) {
      case nil: "no interval"
      case true?: "overlaps"
      case false?: IntervalWords.isBetter(value, from, metric) ? "apart, better" : "apart, worse"
      }
    return "<small>\(Figure.text(value - from, signed: true))</small><small>\(words)</small>"
  }
}
