import Relevance

extension ReportBuilder {
  /// Reliability diagrams.
  var calibrationSection: Markup? {
    let shown = evaluated.filter { $0.report.overall.calibration.contains { $0.pairs > 0 } }
    guard !shown.isEmpty else { return nil }
    let figures = shown.map { entry in
      let evaluation = entry.report.overall
      let chart = ReliabilityChart(
        title: "Calibration of \(entry.run.name)", bins: evaluation.calibration, series: entry.index)
      let error = evaluation[.ece]
      let interval = Figure.interval(error.low, error.high).map { " \($0)" } ?? ""
      return PageParts.figure(
        chart.svg(id: "calibration-\(entry.index)"),
        caption:
          "<b>\(PageParts.name(entry.run.name))</b>: expected calibration error \(Figure.text(error.value))\(interval)",
        data: calibrationTable(evaluation.calibration))
    }
    return PageParts.paragraph(
      """
      Pairs in bins by the probability of the predicted label, against the share of them that is right. On the dashed \
      line a model is as sure as it is right; below it, it is too sure. Bars beneath count the pairs of each bin.
      """) + "<div class=\"grid three\">\(figures.joined(separator: "\n"))</div>\n"
  }

  private func calibrationTable(_ bins: [Evaluation.CalibrationBin]) -> Markup {
    PageParts.table(
      caption: "Bins that have pairs", head: ["Confidence", "Mean", "Right", "Pairs"],
      rows: bins.filter { $0.pairs > 0 }.map { bin in
        [
          "\(Figure.text(bin.low, decimals: 2)) to \(Figure.text(bin.high, decimals: 2))",
          "\(Figure.text(bin.confidence))", "\(Figure.text(bin.accuracy))", "\(Figure.count(bin.pairs))",
        ]
      })
  }

  /// Confusion matrices and the scores of each label.
  var confusionSection: Markup? {
    let shown = evaluated.filter { !$0.report.overall.labels.isEmpty }
    guard !shown.isEmpty else { return nil }
    var content = PageParts.paragraph(
      "Rows are human labels, columns predictions. A cell has its count and its share of the row, which shades it."
    )
    let parts = shown.map { entry -> Markup in
      let evaluation = entry.report.overall
      let names = evaluation.labels.map(\.label)
      return
        "<div>\(confusion(evaluation.confusion, names: names, caption: "<b>\(key(entry.index, entry.run.name))</b>", side: "human ↓ predicted →"))\(labelTable(evaluation))</div>"
    }
    content += PageParts.grid(parts)
    return content
  }

  /// Counts by row and column with each row's shares.
  func confusion(_ counts: [[Int]], names: [String], caption: Markup, side: Markup) -> Markup {
    let rows = zip(names, counts).map { name, row -> Markup in
      let total = row.reduce(0, &+)
      let cells = row.map { count -> Markup in
        let share = total > 0 ? Double(count) / Double(total) : 0
        return """
          <td style="--share:\(share)"><b>\(Figure.count(count))</b>\
          <small>\(Figure.percent(total > 0 ? share : nil, decimals: 0))</small></td>
          """
      }
      return "<tr><th scope=\"row\">\(PageParts.isolated(name))</th>\(cells.joined())</tr>"
    }
    let head = names.map { "<th scope=\"col\">\(PageParts.isolated($0))</th>" as Markup }
    return """
      <div class="scroll" tabindex="0" role="group" aria-label="Table, scrolls sideways"><table class="matrix">
      <caption>\(caption)</caption>
      <thead><tr><th class="corner" scope="col">\(side)</th>\(head.joined())</tr></thead>
      <tbody>\(rows.joined(separator: "\n"))</tbody></table></div>
      """
  }

  private func labelTable(_ evaluation: Evaluation) -> Markup {
    PageParts.table(
      caption: "How well each label is found", head: ["", "Precision", "Recall", "F1", "Human", "Predicted"],
      rows: evaluation.labels.map { label in
        [
          PageParts.isolated(label.label), "\(Figure.text(label.precision))", "\(Figure.text(label.recall))",
          "\(Figure.text(label.f1))", "\(Figure.count(label.gold))", "\(Figure.count(label.predicted))",
        ]
      })
  }

  /// How often students' verdicts are the teacher's.
  var aspectSection: Markup? {
    let shown = runs.enumerated().compactMap {
      index, run -> (index: Int, run: ReportedRun, aspects: [AspectAgreement])? in
      let found = AspectAgreement.of(run).filter { $0.pairs > 0 }
      return found.isEmpty ? nil : (index, run, found)
    }
    guard !shown.isEmpty else { return nil }
    var content = PageParts.paragraph(
      """
      Share of dev pairs on which the student's verdict is the teacher's, with Wilson's 95 % interval. “Always one \
      verdict”, an upright line in the drawings, is what giving the teacher's most frequent verdict every time would \
      reach; kappa is agreement beyond chance.
      """)
    if shown.contains(where: { $0.run.student == "representation" }) {
      content += PageParts.paragraph(
        "Of representation students only pairs count where the teacher says match or mismatch.")
    }
    content += PageParts.grid(
      shown.map { entry in
        let chart = WhiskerChart(
          title: "Agreement with the teacher, \(entry.run.name)",
          rows: entry.aspects.map {
            .init(
              name: $0.aspect, series: entry.index, estimate: $0.estimate, baseline: $0.constantShare)
          },
          bounds: 0...1)
        return PageParts.figure(
          chart.svg(id: "aspects-\(entry.index)"), caption: "<b>\(PageParts.name(entry.run.name))</b>",
          data: aspectTable(entry.aspects))
      })
    return content
  }

  private func aspectTable(_ aspects: [AspectAgreement]) -> Markup {
    PageParts.table(
      caption: "Agreement by aspect",
      head: ["Aspect", "Agreement", "Always one verdict", "Kappa", "Pairs"],
      rows: aspects.map { aspect in
        let estimate = aspect.estimate
        return [
          PageParts.isolated(aspect.aspect), PageParts.estimate(estimate.value, estimate.low, estimate.high),
          "\(Figure.text(aspect.constantShare))", "\(Figure.text(aspect.kappa))",
          "\(Figure.count(aspect.pairs))",
        ]
      })
  }
}
