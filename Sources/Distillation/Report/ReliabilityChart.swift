import Relevance

/// Accuracy against confidence by bin, with the diagonal of perfect calibration and how many pairs each bin has.
struct ReliabilityChart: Sendable {
  let title: String
  let bins: [Evaluation.CalibrationBin]
  let series: Int
  static let stripHeight = 54.0

  /// The upper drawing, with both axes from 0 to 1.
  var chart: SVGChart {
    SVGChart(
      width: 340, height: 400,
      insets: .init(top: 10, right: 12, bottom: 46 + ReliabilityChart.stripHeight, left: 52),
      x: ChartAxis(covering: [], fixed: 0...1), y: ChartAxis(covering: [], fixed: 0...1))
  }

  func svg(id: Markup) -> Markup {
    var chart = chart
    chart.drawY(title: "share of right labels")
    chart.add(
      "<line class=\"axis\" x1=\"\(chart.left)\" y1=\"\(chart.bottom)\" x2=\"\(chart.right)\" y2=\"\(chart.bottom)\"/>"
    )
    chart.add(
      "<line class=\"mark\" x1=\"\(chart.px(0))\" y1=\"\(chart.py(0))\" x2=\"\(chart.px(1))\" y2=\"\(chart.py(1))\"/>"
    )
    drawCounts(&chart)
    var points: [(x: Double, y: Double?)] = []
    for bin in bins {
      guard let confidence = bin.confidence, let accuracy = bin.accuracy else { continue }
      points.append((confidence, accuracy))
      let place = (chart.px(confidence), chart.py(accuracy))
      chart.add(
        """
        <line class="gap \(SVGChart.style(series))" x1="\(place.0)" y1="\(chart.py(confidence))" \
        x2="\(place.0)" y2="\(place.1)"/>
        """)
    }
    if points.count > 1 { chart.line(points, series: series) }
    for (point, bin) in zip(points, bins.filter { $0.confidence != nil && $0.accuracy != nil }) {
      chart.mark(
        at: (chart.px(point.x), chart.py(point.y ?? 0)), radius: 4, series: series,
        tooltip:
          "confidence \(Figure.text(bin.confidence)), right \(Figure.text(bin.accuracy)), \(Figure.count(bin.pairs)) pairs"
      )
    }
    return chart.svg(id: id, title: title, description: description)
  }

  private var description: String {
    let total = bins.reduce(0) { $0 &+ $1.pairs }
    let parts = bins.compactMap { bin in
      bin.accuracy.map {
        "confidence \(Figure.text(bin.confidence, decimals: 2)), right \(Figure.text($0, decimals: 2)), "
          + "\(Figure.count(bin.pairs)) pairs"
      }
    }
    return "\(Figure.count(total)) pairs in \(parts.count) bins that have any: "
      + parts.joined(separator: "; ")
  }

  /// A strip of bars under the plot.
  private func drawCounts(_ chart: inout SVGChart) {
    let base = chart.height - 42
    let room = ReliabilityChart.stripHeight - 12
    let most = max(1, bins.map(\.pairs).max() ?? 1)
    for bin in bins where bin.pairs > 0 {
      let height = max(1, Double(bin.pairs) / Double(most) * room)
      let start = chart.px(bin.low) + 1
      chart.add(
        """
        <rect class="bar \(SVGChart.style(series))" x="\(start)" y="\(base - height)" \
        width="\(max(1, chart.px(bin.high) - 1 - start))" height="\(height)"><title>\
        \(Figure.text(bin.low, decimals: 2)) to \(Figure.text(bin.high, decimals: 2)): \(Figure.count(bin.pairs)) pairs\
        </title></rect>
        """)
    }
    chart.add(
      "<line class=\"axis\" x1=\"\(chart.left)\" y1=\"\(base)\" x2=\"\(chart.right)\" y2=\"\(base)\"/>")
    chart.text(Figure.count(most), x: chart.left - 8, y: base - room + 8, anchor: "end", style: "tick")
    chart.text("0", x: chart.left - 8, y: base + 4, anchor: "end", style: "tick")
    for tick in chart.x.ticks {
      chart.text(chart.x.label(tick), x: chart.px(tick), y: base + 17, anchor: "middle", style: "tick")
    }
    chart.text(
      "confidence; bars: pairs", x: (chart.left + chart.right) / 2, y: chart.height - 5, anchor: "middle",
      style: "axis-title")
  }
}
