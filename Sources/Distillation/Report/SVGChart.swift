/// A chart's drawing area: axes with ticks and grid, and marks placed by their values.
///
/// Sizes are in CSS pixels at full width; a page scales the drawing down, never its numbers. Colours are classes of the
/// page's style sheet, so a chart follows light, dark and print.
struct SVGChart: Sendable {
  /// Space around the plotting area.
  struct Insets: Sendable, Equatable {
    var top = 14.0
    var right = 16.0
    var bottom = 40.0
    var left = 56.0
  }

  /// A mark's outline, so that series differ in more than colour.
  enum Marker: Int, Sendable, CaseIterable {
    case circle, square, diamond, triangle
  }

  /// Colours in the style sheet.
  static let colours = 8

  let width: Double
  let height: Double
  let insets: Insets
  let x: ChartAxis
  let y: ChartAxis
  private(set) var content: Markup = ""

  init(width: Double, height: Double, insets: Insets = Insets(), x: ChartAxis, y: ChartAxis) {
    self.width = width
    self.height = height
    self.insets = insets
    self.x = x
    self.y = y
  }

  var left: Double { insets.left }
  var right: Double { width - insets.right }
  var top: Double { insets.top }
  var bottom: Double { height - insets.bottom }

  /// The drawing coordinate of a value on the horizontal axis.
  func px(_ value: Double) -> Double { x.position(value, from: left, to: right) }

  /// The drawing coordinate of a value on the vertical axis; larger values stand higher.
  func py(_ value: Double) -> Double { y.position(value, from: bottom, to: top) }

  /// The classes of a series: a colour, and a dash from the second round of colours on.
  static func style(_ series: Int) -> Markup {
    "c\(series % colours) d\(min(series / colours, 3))"
  }

  mutating func add(_ part: Markup) { content += part + "\n" }

  /// Ticks, labels and grid of the horizontal axis.
  mutating func drawX(title: String?, grid: Bool = false) {
    for tick in x.ticks {
      if grid {
        add("<line class=\"gridline\" x1=\"\(px(tick))\" y1=\"\(top)\" x2=\"\(px(tick))\" y2=\"\(bottom)\"/>")
      }
      text(x.label(tick), x: px(tick), y: bottom + 17, anchor: "middle", style: "tick")
    }
    add("<line class=\"axis\" x1=\"\(left)\" y1=\"\(bottom)\" x2=\"\(right)\" y2=\"\(bottom)\"/>")
    if let title { text(title, x: (left + right) / 2, y: height - 5, anchor: "middle", style: "axis-title") }
  }

  /// Ticks, labels and grid of the vertical axis.
  mutating func drawY(title: String?) {
    for tick in y.ticks {
      add("<line class=\"gridline\" x1=\"\(left)\" y1=\"\(py(tick))\" x2=\"\(right)\" y2=\"\(py(tick))\"/>")
      text(y.label(tick), x: left - 8, y: py(tick) + 4, anchor: "end", style: "tick")
    }
    guard let title else { return }
    let middle = (top + bottom) / 2
    add(
      """
      <text class="axis-title" text-anchor="middle" transform="translate(13 \(middle)) rotate(-90)">\(title)</text>
      """)
  }

  mutating func text(_ words: String, x: Double, y: Double, anchor: Markup = "start", style: Markup) {
    add("<text class=\"\(style)\" x=\"\(x)\" y=\"\(y)\" text-anchor=\"\(anchor)\">\(words)</text>")
  }

  /// A line through the points; it breaks where a value is missing or not finite, and a point alone becomes a dot.
  mutating func line(_ points: [(x: Double, y: Double?)], series: Int, style: Markup = "line") {
    var path: Markup = ""
    var run: [(Double, Double)] = []
    func flush(_ chart: inout SVGChart) {
      if run.count == 1, let point = run.first {
        chart.add(
          "<circle class=\"dot \(SVGChart.style(series))\" cx=\"\(point.0)\" cy=\"\(point.1)\" r=\"2.5\"/>")
      } else {
        for (index, point) in run.enumerated() {
          path += index == 0 ? "M\(point.0) \(point.1)" : "L\(point.0) \(point.1)"
        }
      }
      run = []
    }
    for point in points {
      if let value = point.y, value.isFinite, point.x.isFinite {
        run.append((px(point.x), py(value)))
      } else {
        flush(&self)
      }
    }
    flush(&self)
    if path != "" { add("<path class=\"\(style) \(SVGChart.style(series))\" d=\"\(path)\"/>") }
  }

  /// A mark with a tooltip at drawing coordinates.
  mutating func mark(
    _ marker: Marker = .circle, at point: (x: Double, y: Double), radius r: Double = 4.5, series: Int,
    tooltip: String? = nil
  ) {
    let (cx, cy) = point
    let title: Markup = tooltip.map { "<title>\($0)</title>" } ?? ""
    let classes: Markup = "dot \(SVGChart.style(series))"
    switch marker {
    case .circle: add("<circle class=\"\(classes)\" cx=\"\(cx)\" cy=\"\(cy)\" r=\"\(r)\">\(title)</circle>")
    case .square:
      let side = r * 1.8
      add(
        """
        <rect class="\(classes)" x="\(cx - side / 2)" y="\(cy - side / 2)" width="\(side)" height="\(side)">\
        \(title)</rect>
        """)
    case .diamond:
      let d = r * 1.25
      add(
        "<path class=\"\(classes)\" d=\"M\(cx) \(cy - d)L\(cx + d) \(cy)L\(cx) \(cy + d)L\(cx - d) \(cy)Z\">\(title)</path>"
      )
    case .triangle:
      let d = r * 1.15
      add(
        "<path class=\"\(classes)\" d=\"M\(cx) \(cy - d)L\(cx + d) \(cy + d)L\(cx - d) \(cy + d)Z\">\(title)</path>"
      )
    }
  }

  /// The finished drawing.
  ///
  /// - Parameters:
  ///   - id: unique on the page, for the title and description that assistive technology reads.
  ///   - description: what the drawing shows, in words.
  func svg(id: Markup, title: String, description: String) -> Markup {
    """
    <svg viewBox="0 0 \(width) \(height)" width="\(width)" height="\(height)" role="img" \
    aria-labelledby="\(id)-t \(id)-d"><title id="\(id)-t">\(title)</title><desc id="\(id)-d">\(description)</desc>
    \(content)</svg>
    """
  }
}

extension Markup {
  static func + (left: Markup, right: Markup) -> Markup {
    var result = left
    result += right
    return result
  }
}
