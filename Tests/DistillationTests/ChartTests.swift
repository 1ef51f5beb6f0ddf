import Foundation
import Testing

@testable import Distillation
@testable import Relevance

#if canImport(FoundationXML)
  import FoundationXML
#endif

@Suite struct ChartTests {
  private func isWellFormed(_ svg: Markup) -> Bool {
    XMLParser(data: Data(svg.source.utf8)).parse()
  }

  @Test func axisTicksAreRoundAndCoverTheData() {
    let axis = ChartAxis(covering: [0.113, 0.874])
    #expect(axis.ticks == [0, 0.2, 0.4, 0.6, 0.8, 1])
    #expect(axis.low == 0 && axis.high == 1)
    #expect(axis.ticks.map(axis.label) == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"])
  }

  static let awkwardValues: [[Double]] = [
    [], [5.0], [0.0], [-3, -3], [1e-300, 2e-300], [.nan, 1], [.infinity, -.infinity], [1e299, -1e299],
    [1e15, 1e15 + 2],
  ]

  @Test(arguments: awkwardValues)
  func anyValuesGiveAFiniteAxis(_ values: [Double]) {
    let axis = ChartAxis(covering: values)
    #expect(axis.low < axis.high && axis.low.isFinite && axis.high.isFinite)
    #expect(axis.ticks.count <= 64)
    for tick in axis.ticks { #expect(!axis.label(tick).isEmpty) }
  }

  @Test func aPointStandsWhereItsValueSays() {
    let chart = SVGChart(
      width: 200, height: 120, insets: .init(top: 10, right: 20, bottom: 10, left: 80),
      x: ChartAxis(covering: [], fixed: 0...10), y: ChartAxis(covering: [], fixed: 0...1))
    #expect(chart.px(0) == 80 && chart.px(10) == 180 && chart.px(2.5) == 105)
    #expect(chart.py(0) == 110 && chart.py(1) == 10 && chart.py(0.75) == 35)
  }

  @Test func aLineBreaksWhereAValueIsMissing() {
    var chart = SVGChart(
      width: 100, height: 100, insets: .init(top: 0, right: 0, bottom: 0, left: 0),
      x: ChartAxis(covering: [], fixed: 0...10), y: ChartAxis(covering: [], fixed: 0...10))
    chart.line([(0, 0), (2, 5), (4, nil), (6, 5), (8, .nan), (9, 1), (10, 0)], series: 2)
    #expect(chart.content.source.contains("d=\"M0 100L20 50M90 90L100 100\""))
    // The point between two gaps has no neighbour to be joined with.
    #expect(chart.content.source.contains("cx=\"60\" cy=\"50\""))
  }

  @Test func aWhiskerReachesFromLowToHigh() {
    let chart = WhiskerChart(
      title: "AUC",
      rows: [
        .init(name: "a", series: 0, estimate: MetricEstimate(value: 0.5, low: 0.25, high: 0.75)),
        .init(name: "b", series: 1, estimate: MetricEstimate(value: nil, low: nil, high: nil)),
      ], bounds: 0...1)
    let axes = chart.chart
    let middle = chart.rowY(0, axes)
    let svg = chart.svg(id: "w")
    let expected: Markup = "x1=\"\(axes.px(0.25))\" y1=\"\(middle)\" x2=\"\(axes.px(0.75))\" y2=\"\(middle)\""
    #expect(svg.source.contains(expected.source))
    #expect(svg.source.contains("0.500, 95 % interval [0.250, 0.750]; b: –"))
    #expect(isWellFormed(svg))
  }

  @Test func aBarIsAsLongAsItsCount() {
    let chart = BarChart(title: "labels", bars: [.init(name: "a", count: 30), .init(name: "b", count: 10)])
    let axes = chart.chart
    let svg = chart.svg(id: "b").source
    #expect(svg.contains((("width=\"\(axes.right - axes.left)\"" as Markup)).source))
    #expect(svg.contains((("width=\"\((axes.right - axes.left) / 3)\"" as Markup)).source))
    #expect(svg.contains("30 · 75 %"))
  }

  @Test func reliabilityDotsStandAtConfidenceAndAccuracy() {
    let chart = ReliabilityChart(
      title: "c",
      bins: [
        Evaluation.CalibrationBin(low: 0.4, high: 0.5, pairs: 8, confidence: 0.45, accuracy: 0.25),
        Evaluation.CalibrationBin(low: 0.5, high: 0.6, pairs: 0, confidence: nil, accuracy: nil),
      ], series: 0)
    let dot: Markup = "cx=\"\(chart.chart.px(0.45))\" cy=\"\(chart.chart.py(0.25))\""
    let svg = chart.svg(id: "r")
    #expect(svg.source.contains(dot.source))
    #expect(svg.source.components(separatedBy: "<circle").count == 2)
    #expect(isWellFormed(svg))
  }

  @Test func namesAtLineEndsKeepTheirDistance() {
    let places = LineChart.apart([50, 51, 52, 99], by: 14, from: 0, to: 100)
    for index in 1..<places.count { #expect(places[index] - places[index - 1] >= 14 - 1e-9) }
    #expect(places.allSatisfy { $0 >= 0 && $0 <= 100 })
    // More names than fit share the room.
    let crowd = LineChart.apart([Double](repeating: 50, count: 21), by: 14, from: 0, to: 100)
    #expect(crowd.first == 0 && crowd.last == 100)
  }

  @Test func hostileNamesAndValuesLeaveALineChartWellFormed() {
    let chart = LineChart(
      title: "</title><script>alert(1)</script>", xTitle: "step", yTitle: "a\"b",
      series: [
        .init(
          name: "x\u{0}\u{202E}'<&", series: 0, points: [(1, .infinity), (2, 1e308), (3, nil)], hasDots: true),
        .init(name: String(repeating: "ö", count: 10_000), series: 30, points: [(1, 2), (2, 3)]),
      ], marks: [(2, "<b>")])
    let svg = chart.svg(id: "l", description: "]]>&")
    #expect(isWellFormed(svg))
    #expect(!svg.source.contains("<script"))
  }
}
