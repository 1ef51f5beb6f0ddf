import Foundation
import Relevance
import Testing

@testable import Distillation

#if canImport(FoundationXML)
  import FoundationXML
#endif

@Suite struct ReportTests {
  /// Parses the page as XML, for which the document type and the void elements of its head are taken away.
  private func isWellFormed(_ html: String) -> Bool {
    let lines = html.split(separator: "\n").filter { !$0.hasPrefix("<meta") && !$0.hasPrefix("<!doctype") }
    let parser = XMLParser(data: Data(lines.joined(separator: "\n").utf8))
    return parser.parse()
  }

  @Test func oneRunHasEverySectionButTheAblation() throws {
    let folders = try RunFolders()
    try folders.writeInputs()
    let runs = try RunFolder.read([folders.writeRun("a")])
    let builder = ReportBuilder(runs: runs)
    #expect(
      builder.sectionIDs == [
        "metrics", "curves", "calibration", "confusion", "aspects", "tail", "disagreements", "teacher",
        "settings",
      ])
    #expect(isWellFormed(builder.html))
    #expect(builder.html == ReportBuilder(runs: try RunFolder.read([folders.path("a")])).html)
  }

  @Test func pageNeedsNothingBesideItself() throws {
    let folders = try RunFolders()
    try folders.writeInputs()
    let html = ReportBuilder(runs: try RunFolder.read([folders.writeRun("a")])).html
    for word in ["<script", "http://", "https://", "url(", "@import", "src="] {
      #expect(!html.contains(word))
    }
    #expect(html.contains("prefers-color-scheme:dark") && html.contains("@media print"))
  }

  @Test func identifiersAreUniqueAndReferencesResolve() throws {
    let folders = try RunFolders()
    try folders.writeInputs()
    let html = ReportBuilder(
      runs: try RunFolder.read([folders.writeRun("a"), folders.writeRun("b", losses: ["hard"], shift: 3)])
    ).html
    let ids = html.matches(of: /\sid="([^"]*)"/).map { String($0.1) }
    #expect(Set(ids).count == ids.count)
    for reference in html.matches(of: /(?:href="#|aria-labelledby=")([^"]*)"/) {
      for id in reference.1.split(separator: " ") { #expect(ids.contains(String(id))) }
    }
    // Each drawing has its description.
    #expect(html.matches(of: /<svg/).count == html.matches(of: /<desc id="[^"]+">[^<]/).count)
  }

  @Test func severalRunsAreComparedInWords() throws {
    let folders = try RunFolders()
    try folders.writeInputs()
    let runs = try RunFolder.read([
      folders.writeRun("plain", losses: ["hard"], shift: 2), folders.writeRun("both", shift: 15),
      folders.writeRun("tower", student: "representation", losses: ["hard"], shift: 3),
    ])
    let builder = ReportBuilder(runs: runs)
    #expect(builder.sectionIDs.contains("ablation"))
    #expect(isWellFormed(builder.html))
    #expect(builder.html.contains("Student: <bdi>representation</bdi>"))
    let accuracies = runs.compactMap { $0.evaluation?.overall[.accuracy].value }
    #expect(accuracies == [0.5, 0.875, 0.625])
    #expect(builder.html.contains("<small>+0.375</small>"))
  }

  @Test func overlapIsSaidInWords() {
    func estimate(_ value: Double?, _ low: Double?, _ high: Double?) -> MetricEstimate {
      MetricEstimate(value: value, low: low, high: high)
    }
    let high = ("b", estimate(0.8, 0.7, 0.9))
    #expect(
      IntervalWords.sentence(.auc, [("a", estimate(0.5, 0.4, 0.6)), high])
        == "b is highest with 0.800; its interval overlaps not the other.")
    #expect(
      IntervalWords.sentence(.ece, [("a", estimate(0.75, 0.6, 0.8)), high, ("c", estimate(nil, nil, nil))])
        == "a is lowest with 0.750; its interval overlaps that of b (0.800), so these data do not set them apart."
    )
    #expect(
      IntervalWords.sentence(.auc, [("a", estimate(0.5, nil, nil)), high])
        == "b is highest with 0.800; without intervals, nothing can be said about chance.")
    #expect(IntervalWords.sentence(.auc, [high]) == nil)
    #expect(
      ReportBuilder.difference(estimate(0.5, 0.4, 0.6), high.1, .auc).source
        == "<small>−0.300</small><small>apart, worse</small>")
  }

  @Test func hostileTextsStayTexts() throws {
    let folders = try RunFolders()
    let hostile = "</h3><script>alert('x')</script>\" onload=\"y \u{202E}مثقاب 🪛"
    try folders.writeInputs(query: hostile, rationale: hostile + String(repeating: "long ", count: 100_000))
    let html = ReportBuilder(runs: try RunFolder.read([folders.writeRun("<i>a&b")]), title: hostile).html
    #expect(!html.contains("<script") && !html.contains("<i>a") && !html.contains("onload=\""))
    #expect(html.contains("&lt;script&gt;") && html.contains("مثقاب 🪛"))
    #expect(isWellFormed(html))
    // The rationale is cut, on each of a few cards.
    #expect(html.utf8.count < 200_000)
  }

  @Test func undefinedMetricsLeaveDashes() throws {
    let folders = try RunFolders()
    try folders.writeInputs()
    let path = try folders.writeRun("a")
    let text = try String(contentsOfFile: "\(path)/evaluation.json", encoding: .utf8)
    var object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    for metric in Metric.allCases {
      object[metric.rawValue] = ["value": NSNull(), "low": NSNull(), "high": NSNull()]
    }
    object["notes"] = ["auc": "the gold labels are all of one side"]
    try folders.write("a/evaluation.json", RunFolders.json(object))
    let html = ReportBuilder(runs: try RunFolder.read([path])).html
    #expect(isWellFormed(html))
    #expect(html.contains("<span class=\"none\" title=\"not defined\">–</span>"))
    #expect(html.contains("AUC: the gold labels are all of one side."))
  }

  @Test func agreementCountsOnlyWhatATowerCanKnow() throws {
    let folders = try RunFolders()
    try folders.writeInputs()
    let runs = try RunFolder.read([folders.writeRun("a"), folders.writeRun("b", student: "representation")])
    let pair = try #require(AspectAgreement.of(runs[0]).first { $0.aspect == "brand" })
    // Even pairs: the teacher says match, the student too on every second of them; odd ones: both unspecified.
    #expect(pair.pairs == 16 && pair.agreeing == 12 && pair.constantShare == 0.5 && pair.kappa == 0.5)
    let tower = try #require(AspectAgreement.of(runs[1]).first { $0.aspect == "brand" })
    #expect(tower.pairs == 8 && tower.agreeing == 4)
    #expect(AspectAgreement.of(runs[0]).first { $0.aspect == "use" }?.share == nil)
  }

  @Test func wilsonsIntervalIsTheKnownOne() {
    let estimate = AspectAgreement.wilson(81, of: 263)
    // Newcombe 1998, table I: 81/263 gives 0.2553 to 0.3662.
    #expect(abs((estimate.low ?? 0) - 0.2553) < 5e-5 && abs((estimate.high ?? 0) - 0.3662) < 5e-5)
    #expect(AspectAgreement.wilson(0, of: 0).value == nil)
  }

  @Test func disagreementsComeFarthestFirstAndFewOfAQuery() throws {
    let folders = try RunFolders()
    try folders.writeInputs()
    let run = try #require(try RunFolder.read([folders.writeRun("a", shift: 1)]).first)
    let found = Disagreement.of(run, limit: 5)
    #expect(found.compared == 16 && found.differing == 16 && found.examples.count == 5)
    #expect(zip(found.examples, found.examples.dropFirst()).allSatisfy { $0.distance >= $1.distance })
    #expect(Dictionary(grouping: found.examples, by: \.pair.query).values.allSatisfy { $0.count <= 2 })
    #expect(abs((found.examples.first?.distance ?? 0) - 0.6) < 1e-9)
  }

  @Test func teacherStatisticsCountRecords() throws {
    let folders = try RunFolders()
    try folders.writeInputs()
    let run = try #require(try RunFolder.read([folders.writeRun("a")]).first)
    let statistics = TeacherStatistics(try #require(run.teachers.first), aspects: run.aspects)
    #expect(statistics.records == 16 && statistics.labels == [6, 5, 5] && statistics.truncated == 1)
    #expect(statistics.judged == 16 && statistics.agreement.value == 1 && statistics.meanTokens == 20)
    #expect(statistics.entropies.reduce(0, +) == 16 && statistics.entropies[5] == 16)
    #expect(statistics.verdicts.first { $0.aspect == "use" }?.absent == 16)
  }
}
