import Relevance

/// Values with their intervals, a row each: a dot on a whisker.
struct WhiskerChart: Sendable {
  struct Row: Sendable {
    let name: String
    /// The number of its colour.
    let series: Int
    let estimate: MetricEstimate
    /// What the value is to be held against, a short upright line.
    var baseline: Double?
  }

  let title: String
  let rows: [Row]
  /// A value to compare with, as a dashed line.
  var reference: Double?
  /// The axis' bounds; those of the data where nil.
  var bounds: ClosedRange<Double>?
  var width = 480.0
  var nameWidth = 178.0
  static let rowHeight = 26.0

  /// Whether a name is too long to stand whole at the left of its row, so that all stand above their whiskers.
  var namesAbove: Bool {
    rows.contains { $0.name.count > Figure.characters(in: nameWidth - 12) }
  }

  private var step: Double { namesAbove ? WhiskerChart.rowHeight + 14 : WhiskerChart.rowHeight }

  /// The chart without its marks, for tests to ask for coordinates.
  var chart: SVGChart {
    let values = rows.flatMap { [$0.estimate.value, $0.estimate.low, $0.estimate.high] }.compactMap { $0 }
    let x = ChartAxis(covering: values + (reference.map { [$0] } ?? []), count: 4, fixed: bounds)
    return SVGChart(
      width: width, height: Double(rows.count) * step + 36,
      insets: .init(top: 6, right: 58, bottom: 30, left: namesAbove ? 18 : nameWidth), x: x,
      y: ChartAxis(covering: [], fixed: 0...Double(max(1, rows.count))))
  }

  /// The drawing coordinate of a row's middle.
  func rowY(_ index: Int, _ chart: SVGChart) -> Double {
    chart.top + (Double(index) + 1) * step - WhiskerChart.rowHeight / 2
  }

  func svg(id: Markup) -> Markup {
    var chart = chart
    chart.drawX(title: nil, grid: true)
    if let reference {
      let place = chart.px(reference)
      chart.add(
        "<line class=\"mark\" x1=\"\(place)\" y1=\"\(chart.top)\" x2=\"\(place)\" y2=\"\(chart.bottom)\"/>")
    }
    for (index, row) in rows.enumerated() { draw(row, at: rowY(index, chart), on: &chart) }
    return chart.svg(id: id, title: title, description: description)
  }

  /// The rows in words.
  var description: String {
    rows.map { row in
      let interval = Figure.interval(row.estimate.low, row.estimate.high)
      return "\(Figure.shortened(row.name, to: 80)): \(Figure.text(row.estimate.value))"
        + (interval.map { ", 95 % interval \($0)" } ?? "")
    }.joined(separator: "; ")
  }

  private func draw(_ row: Row, at y: Double, on chart: inout SVGChart) {
    if namesAbove {
      let room = Figure.characters(in: width - chart.left)
      chart.text(Figure.abridged(row.name, to: room), x: chart.left, y: y - 13, style: "row-name over")
    } else {
      chart.text(row.name, x: chart.left - 12, y: y + 4, anchor: "end", style: "row-name")
    }
    chart.text(
      Figure.text(row.estimate.value), x: chart.right + 12, y: y + 4, style: "row-value")
    if let baseline = row.baseline, baseline.isFinite {
      let place = chart.px(baseline)
      chart.add("<line class=\"base\" x1=\"\(place)\" y1=\"\(y - 8)\" x2=\"\(place)\" y2=\"\(y + 8)\"/>")
    }
    guard let value = row.estimate.value, value.isFinite else { return }
    if let low = row.estimate.low, let high = row.estimate.high, low.isFinite, high.isFinite {
      chart.add(
        """
        <line class="whisker \(SVGChart.style(row.series))" x1="\(chart.px(low))" y1="\(y)" \
        x2="\(chart.px(high))" y2="\(y)"/>
        """)
    }
    let interval = Figure.interval(row.estimate.low, row.estimate.high)
    chart.mark(
      SVGChart.Marker.allCases[row.series % SVGChart.Marker.allCases.count], at: (chart.px(value), y),
      series: row.series, tooltip: "\(row.name): \(Figure.text(value)) \(interval ?? "")")
  }
}
