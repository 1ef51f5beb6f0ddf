import Relevance

extension ReportBuilder {
  /// Curves have at most so many points; further steps are averaged.
  static let curvePoints = 160

  /// Losses, dev metrics, learning rate and gradient norm over the steps.
  var curvesSection: Markup? {
    let logged = runs.enumerated().filter { !$0.element.log.steps.isEmpty || !$0.element.log.checks.isEmpty }
    guard !logged.isEmpty else { return nil }
    var content: Markup = ""
    let losses = logged.filter { !$0.element.log.steps.isEmpty }
    if losses.count > 1 {
      content += PageParts.paragraph(
        "Losses of runs that train on different terms have different scales; compare shapes, and metrics below."
      )
      content += PageParts.grid(losses.map { lossFigure($0.offset, $0.element, width: 480) })
    } else if let only = losses.first {
      content += lossFigure(only.offset, only.element, width: 980)
    }
    content += devFigures(logged.map { ($0.offset, $0.element) })
    content += optimiserFigures(losses.map { ($0.offset, $0.element) })
    return content + speed(losses.map { ($0.offset, $0.element) })
  }

  private func lossFigure(_ index: Int, _ run: ReportedRun, width: Double) -> Markup {
    let steps = run.log.steps
    let parts = Set(steps.flatMap(\.parts.keys)).sorted { order($0) < order($1) }
    var series = [
      LineChart.Series(
        name: "total", series: 0, points: ReportBuilder.binned(steps.map { ($0.step, $0.loss) }), isMain: true
      )
    ]
    if parts.count > 1 {
      series += parts.enumerated().map { place, part in
        let points = ReportBuilder.binned(steps.map { ($0.step, $0.parts[part]) })
        return .init(name: part, series: colour(part, place), points: points)
      }
    }
    let epochs = run.log.epochStarts
    let chart = LineChart(
      title: "Loss of \(run.name)", xTitle: "step", yTitle: "loss", series: series,
      marks: epochs.map { ($0.step, "epoch \($0.epoch) starts") }, width: width,
      labelWidth: width > 600 ? 110 : 84, startsAtZero: true)
    let unusable = steps.count { $0.loss == nil }
    let warning: Markup = unusable > 0 ? " \(Figure.count(unusable)) steps had no finite loss." : ""
    let per = (steps.count + ReportBuilder.curvePoints - 1) / ReportBuilder.curvePoints
    let mean: Markup = per > 1 ? " Each point is the mean of \(per) steps." : ""
    let weights: Markup = parts.count > 1 ? " Parts are unweighted." : ""
    let starts: Markup = epochs.isEmpty ? "" : " Upright lines: a further epoch starts."
    let name: Markup =
      runs.count > 1 ? "<b>\(PageParts.name(run.name))</b>: training loss." : "<b>Training loss.</b>"
    let last = steps.last
    let summary =
      "Total loss from \(Figure.compact(series[0].points.first?.y)) to \(Figure.compact(series[0].points.last?.y)) "
      + "over \(Figure.count(steps.count)) logged steps; the last is step \(Figure.compact(last?.step))."
    var drawing = chart.svg(id: "loss-\(index)", description: summary)
    if width > 600 {
      var narrow = chart
      (narrow.width, narrow.labelWidth) = (480, 84)
      drawing = PageParts.drawings(
        wide: drawing, narrow: narrow.svg(id: "loss-\(index)-n", description: summary))
    }
    return PageParts.figure(
      drawing, caption: "\(name)\(weights)\(mean)\(starts)\(warning)", data: curveTable(series))
  }

  /// A known loss has the same colour in every run.
  private func colour(_ part: String, _ place: Int) -> Int {
    ["hard", "score", "reasoning"].firstIndex(of: part).map { $0 + 1 } ?? 4 + place % 4
  }

  private func order(_ part: String) -> String {
    "\(["hard", "score", "reasoning"].firstIndex(of: part) ?? 9)\(part)"
  }

  private func curveTable(_ series: [LineChart.Series]) -> Markup {
    let points = series.first?.points ?? []
    let every = max(1, points.count / 20)
    let places = points.indices.filter { $0 % every == 0 || $0 == points.count - 1 }
    return PageParts.table(
      caption: "Some of the points", head: ["Step"] + series.map { "\($0.name)" },
      rows: places.map { place in
        ["\(Figure.compact(points[place].x))"]
          + series.map { place < $0.points.count ? "\(Figure.compact($0.points[place].y))" : "" }
      })
  }

  /// Means of equal runs of points, at the last x of each; nil where none of a run's values is known.
  static func binned(_ points: [(x: Double, y: Double?)]) -> [(x: Double, y: Double?)] {
    let size = max(1, (points.count + curvePoints - 1) / curvePoints)
    return stride(from: 0, to: points.count, by: size).map { start in
      let part = points[start..<min(points.count, start + size)]
      let values = part.compactMap(\.y)
      return (part[part.endIndex - 1].x, values.isEmpty ? nil : values.reduce(0, +) / Double(values.count))
    }
  }

  private func devFigures(_ logged: [(index: Int, run: ReportedRun)]) -> Markup {
    let names = Set(logged.flatMap { $0.run.log.checks.flatMap(\.metrics.keys) })
    let known = Metric.allCases.map(\.rawValue).filter(names.contains)
    let ordered = known + names.subtracting(known).sorted()
    guard !ordered.isEmpty else { return "" }
    let figures = ordered.enumerated().map { place, name in
      let metric = Metric(rawValue: name)
      let series = logged.compactMap { entry -> LineChart.Series? in
        let points = entry.run.log.checks.filter { $0.metrics[name] != nil }.map {
          ($0.step, $0.metrics[name])
        }
        return points.isEmpty
          ? nil
          : .init(name: entry.run.name, series: entry.index, points: points, hasDots: points.count <= 40)
      }
      let title = metric?.title ?? name
      let chart = LineChart(
        title: "\(title) on the dev set", xTitle: "step", yTitle: nil, series: series, width: 480,
        height: 230, labelWidth: LineChart.labelWidth(series))
      let words = series.map { line in
        "\(line.name): \(Figure.compact(line.points.first?.y)) at first, \(Figure.compact(line.points.last?.y)) at last"
      }
      let direction: Markup =
        metric.map { $0.higherIsBetter ? ", higher is better" : ", lower is better" } ?? ""
      return PageParts.figure(
        chart.svg(id: "dev-\(place)", description: words.joined(separator: "; ")),
        caption: "<b>\(title)</b> on the dev set\(direction)", data: devTable(series))
    }
    return "<h3>On the dev set during training</h3>\n" + legend(unlessNamed: logged) + PageParts.grid(figures)
  }

  private func devTable(_ series: [LineChart.Series]) -> Markup {
    let steps = Set(series.flatMap { $0.points.map(\.x) }).sorted()
    let values = series.map { line in
      Dictionary(line.points.map { ($0.x, $0.y) }) { _, later in later }
    }
    return PageParts.table(
      caption: "Values by step", head: ["Step"] + series.map { "\($0.name)" },
      rows: steps.map { step in
        ["\(Figure.compact(step))"] + values.map { "\(Figure.text($0[step] ?? nil, decimals: 4))" }
      })
  }

  private func optimiserFigures(_ logged: [(index: Int, run: ReportedRun)]) -> Markup {
    let kinds: [(String, (RunLog.Step) -> Double?)] = [
      ("Learning rate", \.learningRate), ("Gradient norm", \.gradientNorm),
    ]
    let figures = kinds.enumerated().compactMap { place, kind -> Markup? in
      let series = logged.compactMap { entry -> LineChart.Series? in
        let points = ReportBuilder.binned(entry.run.log.steps.map { ($0.step, kind.1($0)) })
        return points.contains { $0.y != nil }
          ? .init(name: entry.run.name, series: entry.index, points: points) : nil
      }
      guard !series.isEmpty else { return nil }
      let chart = LineChart(
        title: kind.0, xTitle: "step", yTitle: nil, series: series, width: 480, height: 210,
        labelWidth: LineChart.labelWidth(series), startsAtZero: true)
      let words = series.map { "\($0.name): \(Figure.compact($0.points.compactMap(\.y).max())) at most" }
      return PageParts.figure(
        chart.svg(id: "optimiser-\(place)", description: words.joined(separator: "; ")),
        caption: "<b>\(kind.0)</b>", data: curveTable(series))
    }
    return figures.isEmpty
      ? "" : "<h3>Optimiser</h3>\n" + legend(unlessNamed: logged) + PageParts.grid(figures)
  }

  /// The names of the lines, where their drawings leave them out.
  private func legend(unlessNamed logged: [(index: Int, run: ReportedRun)]) -> Markup {
    logged.count < 2 || LineChart.haveRoom(logged.map(\.run.name)) ? "" : legend(logged)
  }

  /// Steps, time and rates, as a table.
  private func speed(_ logged: [(index: Int, run: ReportedRun)]) -> Markup {
    guard !logged.isEmpty else { return "" }
    func rate(_ values: [Double?], _ seconds: Double, _ steps: Int) -> Markup {
      let known = values.compactMap { $0 }
      // Only where each step has its time; a rate over part of the steps would be none of the run.
      guard seconds > 0, known.count == steps else { return "\(Figure.absent)" }
      return "\(Figure.compact(known.reduce(0, +) / seconds))"
    }
    let rows = logged.map { entry -> [Markup] in
      let log = entry.run.log
      let sorted = log.seconds.sorted()
      let isWhole = log.seconds.count == log.steps.count
      let total = isWhole ? sorted.reduce(0, +) : 0
      return [
        key(entry.index, entry.run.name), "\(Figure.count(log.steps.count))",
        "\(Figure.compact(log.steps.last?.epoch))",
        "\(Figure.compact(sorted.isEmpty ? nil : sorted[sorted.count / 2]))",
        "\(Figure.compact(isWhole && total > 0 ? total / 60 : nil))",
        rate(log.steps.map(\.rows), total, log.steps.count),
        rate(log.steps.map(\.tokens), total, log.steps.count),
      ]
    }
    return PageParts.table(
      caption: "Steps logged, and their speed where each step's time was kept.",
      head: ["", "Steps", "Epoch", "Seconds a step (median)", "Minutes", "Rows a second", "Tokens a second"],
      rows: rows)
  }
}
