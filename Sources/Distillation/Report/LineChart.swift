/// Lines over training steps with their names at their ends.
struct LineChart: Sendable {
  struct Series: Sendable {
    let name: String
    /// The number of its colour.
    let series: Int
    /// In order of x; a missing value breaks the line.
    let points: [(x: Double, y: Double?)]
    /// Drawn wider, for a total among its parts.
    var isMain = false
    /// Dots at the values, where they are few.
    var hasDots = false
  }

  let title: String
  let xTitle: String
  let yTitle: String?
  let series: [Series]
  /// Where thin upright lines stand, with what they mark.
  var marks: [(x: Double, label: String)] = []
  var width = 980.0
  var height = 300.0
  var labelWidth = 128.0
  var startsAtZero = false

  /// Room for names at the ends of the lines.
  static let nameWidth = 132.0

  /// Whether names at the ends of lines are whole and few enough to stand apart.
  static func haveRoom(_ names: [String]) -> Bool {
    names.count <= 8 && names.allSatisfy { $0.count <= Figure.characters(in: nameWidth - 8) }
  }

  /// What lines of runs need at their ends: nothing where there is one, or where a legend names them.
  static func labelWidth(_ series: [Series]) -> Double {
    series.count > 1 && haveRoom(series.map(\.name)) ? nameWidth : 16
  }

  /// The chart with its axes drawn, for tests to ask for coordinates.
  var chart: SVGChart {
    let values = series.flatMap { $0.points.compactMap(\.y) }
    let steps = series.flatMap { $0.points.map(\.x) }
    let y = ChartAxis(covering: startsAtZero ? values + [0] : values, count: height > 240 ? 5 : 4)
    // The steps end where training ended, not at a round number.
    let last = steps.max() ?? 1
    let x = ChartAxis(covering: steps, count: width > 600 ? 8 : 4, fixed: 0...(last > 0 ? last : 1))
    let widest = y.ticks.map { y.label($0).count }.max() ?? 0
    return SVGChart(
      width: width, height: height,
      insets: .init(right: labelWidth, left: Double(widest) * 7 + (yTitle == nil ? 14 : 34)), x: x, y: y)
  }

  func svg(id: Markup, description: String) -> Markup {
    var chart = chart
    chart.drawY(title: yTitle)
    for mark in marks {
      let place = chart.px(mark.x)
      chart.add(
        """
        <line class="mark" x1="\(place)" y1="\(chart.top)" x2="\(place)" y2="\(chart.bottom)">\
        <title>\(mark.label)</title></line>
        """)
    }
    chart.drawX(title: xTitle)
    for line in series {
      chart.line(line.points, series: line.series, style: line.isMain ? "line main" : "line")
      guard line.hasDots else { continue }
      for point in line.points {
        guard let value = point.y, value.isFinite else { continue }
        chart.mark(
          marker(line.series), at: (chart.px(point.x), chart.py(value)), radius: 3.2, series: line.series,
          tooltip: "\(line.name), step \(Figure.compact(point.x)): \(Figure.compact(value))")
      }
    }
    drawNames(&chart)
    return chart.svg(id: id, title: title, description: description)
  }

  private func marker(_ series: Int) -> SVGChart.Marker {
    SVGChart.Marker.allCases[series % SVGChart.Marker.allCases.count]
  }

  /// Names beside the lines' ends, moved apart where they would overlap.
  private func drawNames(_ chart: inout SVGChart) {
    guard series.count > 1, labelWidth > 40 else { return }
    var names: [(y: Double, line: Series)] = series.compactMap { line in
      line.points.last { $0.y?.isFinite == true }.flatMap { $0.y }.map { (chart.py($0), line) }
    }
    names.sort { $0.y < $1.y }
    let places = LineChart.apart(names.map(\.y), by: 14, from: chart.top, to: chart.bottom)
    for (place, name) in zip(places, names) {
      let words = Figure.abridged(name.line.name, to: Figure.characters(in: labelWidth - 8))
      chart.text(
        words, x: chart.right + 8, y: place + 4, style: "name \(SVGChart.style(name.line.series))")
    }
  }

  /// Rising places at least `distance` apart within the bounds (closer where they do not fit), near the given ones.
  static func apart(_ places: [Double], by distance: Double, from low: Double, to high: Double) -> [Double] {
    guard places.count > 1 else { return places }
    let distance = min(distance, (high - low) / Double(places.count - 1))
    var result = places.map { max(low, min(high, $0)) }
    for index in 1..<result.count { result[index] = max(result[index], result[index - 1] + distance) }
    var limit = high
    for index in result.indices.reversed() {
      result[index] = min(result[index], limit)
      limit = result[index] - distance
    }
    return result
  }
}
