import Basics
import Foundation
import Relevance
import Testing

@testable import Distillation

/// What folders as `retort distill` and `retort ablate` write them have, and folders made by hand need not.
@Suite struct RealRunTests {
  private func labels() throws -> LabelSet {
    try LabelSet(RunFolders.labels.enumerated().map { Label(name: $1, gain: Double($0) / 2) })
  }

  /// Four runs in a grid's folder with its table; `hard` is right on fewer pairs.
  private func grid(_ folders: RunFolders) throws -> String {
    try folders.writeInputs()
    var configuration = AblationConfiguration()
    configuration.dev = folders.path("dev.jsonl")
    configuration.teacherDev = folders.path("teacher.jsonl")
    configuration.output = folders.path("grid")
    configuration.students = [.interaction]
    configuration.losses = [[.hard], [.hard, .score]]
    configuration.seeds = [2, 10]
    configuration.resamples = 50
    for cell in configuration.cells {
      try folders.writeRun(
        "grid/\(cell.name)", losses: cell.losses.map(\.rawValue), shift: cell.losses == [.hard] ? 2 : 16)
    }
    try AblationReport(configuration, labels: labels()).write(to: configuration.output)
    return configuration.output
  }

  @Test func gridStandsForItsRunsAndBringsItsTable() throws {
    let folders = try RunFolders()
    let path = try grid(folders)
    let runs = try RunFolder.read([path])
    #expect(
      runs.map(\.name) == [
        "interaction-hard-seed2", "interaction-hard-seed10", "interaction-hard+score-seed2",
        "interaction-hard+score-seed10",
      ])
    let grids = try ReportedGrid.read([path + "/"], runs: RunFolder.read([path + "/"]))
    #expect(grids.count == 1 && grids[0].stale.isEmpty && grids[0].table.rows.count == 2)
    let builder = ReportBuilder(runs: runs, grids: try ReportedGrid.read([path], runs: runs))
    #expect(builder.sectionIDs.contains("ablation"))
    // Half of the pairs are right with hard alone, all but one with the score.
    #expect(builder.html.contains("Δ +0.438") && builder.html.contains("<small><b>better</b></small>"))
    #expect(builder.html.contains("<small>2 seeds</small>") && builder.html.contains("The teacher itself"))
    // The runs are not compared a second time, without pairing.
    #expect(!builder.html.contains("overlaps</small>"))
  }

  @Test func tableOlderThanItsRunsIsNamed() throws {
    let folders = try RunFolders()
    let path = try grid(folders)
    try folders.writeRun("grid/interaction-hard-seed10", losses: ["hard"], shift: 4)
    try FileManager.default.removeItem(atPath: path + "/interaction-hard+score-seed2/evaluation.json")
    let runs = try RunFolder.read([path])
    let grids = try ReportedGrid.read([path], runs: runs)
    #expect(grids.first?.stale == ["interaction-hard-seed10", "interaction-hard+score-seed2"])
    let html = ReportBuilder(runs: runs, grids: grids).html
    #expect(html.contains("made without the metrics that these runs have now: interaction-hard-seed10 and"))
  }

  @Test func brokenTableAndEmptyGridAreRefused() throws {
    let folders = try RunFolders()
    let path = try grid(folders)
    let runs = try RunFolder.read([path])
    try folders.write("grid/ablation.json", "{\"rows\": 3}")
    #expect(throws: RetortError.self) { try ReportedGrid.read([path], runs: runs) }
    let empty = folders.path("empty")
    try FileManager.default.createDirectory(atPath: empty, withIntermediateDirectories: true)
    #expect(throws: RetortError.self) { try RunFolder.read([empty]) }
    // A run of the grid beside the grid.
    #expect(throws: RetortError.self) { try RunFolder.read([path, path + "/interaction-hard-seed2"]) }
  }

  @Test func gridFoldersStandByStudentLossesAndSeed() {
    let names = [
      "interaction-hard-seed2", "interaction-hard-seed10", "interaction-hard+score-seed1",
      "interaction-hard+reasoning-seed1", "interaction-hard+score+reasoning-seed1",
      "representation-hard-seed1",
    ]
    #expect(names.shuffled().sorted(by: ReportedGrid.precedes) == names)
    #expect(ReportedGrid.precedes("a", "b") && !ReportedGrid.precedes("a", "a"))
  }

  @Test func recordsOfDevPairsMayComeFromAnotherFile() throws {
    let folders = try RunFolders()
    try folders.writeInputs()
    let path = try folders.writeRun("a")
    let records = try String(contentsOfFile: folders.path("teacher.jsonl"), encoding: .utf8)
    try folders.write("dev-labels.jsonl", records)
    try folders.write("teacher.jsonl", records.replacing("\"pair_id\":\"p", with: "\"pair_id\":\"t"))

    let alone = try RunFolder.read([path])
    #expect(alone[0].notes.count == 1 && alone[0].notes[0].contains("--teacher"))
    let without = ReportBuilder(runs: alone).sectionIDs
    #expect(!without.contains("aspects") && !without.contains("disagreements") && without.contains("teacher"))

    let beside = try RunFolder.read([path], teachers: [folders.path("dev-labels.jsonl")])
    #expect(beside[0].notes.isEmpty)
    let builder = ReportBuilder(runs: beside)
    #expect(builder.sectionIDs.contains("aspects") && builder.sectionIDs.contains("disagreements"))
    #expect(builder.html.contains("Trained on <code>") && builder.html.contains("Beside <code>"))
  }

  @Test func recordsThatNoRunCanUseAreRefused() throws {
    let folders = try RunFolders()
    try folders.writeInputs()
    let path = try folders.writeRun("a")
    try folders.write("other.jsonl", "{\"pair_id\": \"p1\", \"probabilities\": {\"good\": 1}}\n")
    #expect(throws: RetortError.self) {
      try RunFolder.read([path], teachers: [folders.path("other.jsonl")])
    }
    // Of two runs one can use it: the other says why not.
    let other = try folders.writeRun("b")
    try folders.write(
      "b/retort.json",
      RunFolders.json([
        "format": 1, "student": "interaction",
        "labels": [["name": "good", "gain": 1], ["name": "x", "gain": 0]],
      ]))
    try folders.write("b/dev_predictions.jsonl", "")
    let runs = try RunFolder.read([other, path], teachers: [folders.path("teacher.jsonl")])
    #expect(runs[0].notes.contains { $0.contains("line 1: the label") } && runs[1].notes.isEmpty)
    #expect(ReportBuilder(runs: runs).html.contains("These runs have different label sets"))
  }

  @Test func labelsOfTrainingPairsSayHowFarTheTeacherAgrees() throws {
    let folders = try RunFolders()
    try folders.writeInputs()
    let path = try folders.writeRun("a")
    try folders.write(
      "train.jsonl",
      lines: (0..<4).map { ["pair_id": "t\($0)", "query": "saw", "title": "x", "label": "exact"] })
    try folders.write(
      "teacher.jsonl",
      lines: (0..<4).map {
        ["pair_id": "t\($0)", "probabilities": RunFolders.distribution($0 == 0 ? 0 : 2, 0.8)]
      })
    try folders.write(
      "a/settings.json",
      RunFolders.json([
        "losses": ["hard", "score"], "train": [["path": folders.path("train.jsonl"), "rows": 4]],
        "inputs": ["teacher": ["path": folders.path("teacher.jsonl")]],
      ]))
    let run = try #require(try RunFolder.read([path]).first)
    let statistics = TeacherStatistics(try #require(run.teachers.first), aspects: run.aspects)
    #expect(statistics.judged == 4 && statistics.agreement.value == 0.75)
  }

  @Test func timesOfStepsAreReadOnceAStep() throws {
    let folders = try RunFolders()
    try folders.writeInputs()
    let path = try folders.writeRun("a")
    #expect(try RunFolder.read([path])[0].log.seconds == [0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
    // A resumed run writes a step again; a step that the log does not have is none of it.
    try folders.write(
      "a/timing.jsonl",
      lines: [1, 2, 3, 4, 2, 5, 6, 7].enumerated().map { ["step": $1, "step_seconds": Double($0)] })
    let run = try RunFolder.read([path])[0]
    #expect(run.log.seconds == [0, 4, 2, 3, 5, 6])
    // 48 rows in 20 seconds.
    #expect(ReportBuilder(runs: [run]).html.contains("<td>2.4</td>"))
  }

  @Test func lostPredictionsAreNoted() throws {
    let folders = try RunFolders()
    try folders.writeInputs()
    let path = try folders.writeRun("a")
    let lines = try String(contentsOfFile: path + "/dev_predictions.jsonl", encoding: .utf8)
    try folders.write(
      "a/dev_predictions.jsonl", lines.split(separator: "\n").prefix(9).joined(separator: "\n") + "\n")
    let run = try RunFolder.read([path])[0]
    #expect(run.notes.count == 1 && run.notes[0].contains("9 predictions, fewer than the 16"))
  }

  @Test func hugeCountsEndNothing() throws {
    let text = "{\"low\": 0, \"high\": 0.5, \"pairs\": \(Int.max), \"confidence\": 0.25, \"accuracy\": 0.5}"
    let bin = try JSONDecoder().decode(Evaluation.CalibrationBin.self, from: Data(text.utf8))
    let chart = ReliabilityChart(title: "x", bins: [bin, bin], series: 0)
    #expect(chart.svg(id: "c").source.contains("9,223,372,036,854,775,807"))
  }

  @Test func longNamesStandAboveTheirWhiskersAndBreakAtTheirJoints() {
    let estimate = MetricEstimate(value: 0.5, low: 0.4, high: 0.6)
    let long = "representation-hard+score+reasoning-seed1"
    let above = WhiskerChart(
      title: "x",
      rows: [
        .init(name: "a", series: 0, estimate: estimate), .init(name: long, series: 1, estimate: estimate),
      ])
    #expect(above.namesAbove && above.svg(id: "w").source.contains(">\(long)</text>"))
    #expect(above.rowY(1, above.chart) - above.rowY(0, above.chart) == 40)
    let beside = WhiskerChart(title: "x", rows: [.init(name: "a", series: 0, estimate: estimate)])
    #expect(!beside.namesAbove && beside.chart.left > above.chart.left)
    #expect(PageParts.name("hard+a<b").source == "<bdi>hard+<wbr/>a&lt;b</bdi>")
    #expect(!LineChart.haveRoom([long, "a"]) && LineChart.haveRoom(["hard", "both"]))
  }
}
