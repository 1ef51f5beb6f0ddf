/// Counts as bars that lie beside their names.
struct BarChart: Sendable {
  struct Bar: Sendable {
    let name: String
    let count: Int
  }

  let title: String
  let bars: [Bar]
  var series = 0
  var width = 480.0
  var nameWidth = 130.0
  static let rowHeight = 26.0

  /// The chart without its bars, for tests to ask for coordinates.
  var chart: SVGChart {
    SVGChart(
      width: width, height: Double(bars.count) * BarChart.rowHeight + 8,
      insets: .init(top: 4, right: 110, bottom: 4, left: nameWidth),
      x: ChartAxis(covering: [], fixed: 0...Double(max(1, bars.map(\.count).max() ?? 1))),
      y: ChartAxis(covering: [], fixed: 0...Double(max(1, bars.count))))
  }

  func svg(id: Markup) -> Markup {
    var chart = chart
    let total = bars.reduce(0) { $0 &+ $1.count }
    for (index, bar) in bars.enumerated() {
      let y = chart.top + Double(index) * BarChart.rowHeight
      chart.text(
        Figure.abridged(bar.name, to: Figure.characters(in: nameWidth - 10)), x: chart.left - 10, y: y + 17,
        anchor: "end", style: "row-name")
      let end = chart.px(Double(bar.count))
      chart.add(
        """
        <rect class="bar \(SVGChart.style(series))" x="\(chart.left)" y="\(y + 5)" \
        width="\(max(0, end - chart.left))" height="\(BarChart.rowHeight - 10)"/>
        """)
      let share = total > 0 ? Double(bar.count) / Double(total) : nil
      let percent = bar.count > 0 && (share ?? 1) < 0.005 ? "<1 %" : Figure.percent(share, decimals: 0)
      chart.text(
        "\(Figure.count(bar.count)) · \(percent)", x: end + 8, y: y + 17,
        style: "row-value")
    }
    chart.add(
      "<line class=\"axis\" x1=\"\(chart.left)\" y1=\"\(chart.top)\" x2=\"\(chart.left)\" y2=\"\(chart.bottom)\"/>"
    )
    let words = bars.map { "\(Figure.shortened($0.name, to: 80)): \(Figure.count($0.count))" }
    return chart.svg(id: id, title: title, description: words.joined(separator: "; "))
  }
}
