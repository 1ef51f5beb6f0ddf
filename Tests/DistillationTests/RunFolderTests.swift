import Basics
import Foundation
import Relevance
import Testing

@testable import Distillation

@Suite struct RunFolderTests {
  private func problem(_ paths: [String]) -> RetortError? {
    do {
      _ = try RunFolder.read(paths)
      return nil
    } catch {
      return error as? RetortError
    }
  }

  @Test func aWholeRunIsRead() throws {
    let folders = try RunFolders()
    try folders.writeInputs()
    let run = try #require(try RunFolder.read([folders.writeRun("a")]).first)
    #expect(run.name == "a" && run.student == "interaction" && run.losses == ["hard", "score"])
    #expect(run.labels?.names == RunFolders.labels && run.aspects == ["brand", "use"])
    #expect(run.log.steps.count == 6 && run.log.steps[1].loss == 1 && run.log.steps[1].parts["score"] == 0.5)
    #expect(run.log.checks.map(\.metrics) == [["auc": 0.75, "macro_f1": 0.5]])
    #expect(run.log.epochStarts.map(\.step) == [4])
    #expect(run.predictions.count == 16 && run.pairs["p3"]?.title == "item 3")
    #expect(run.teacherRecord("p7")?.verdicts == ["brand": .unspecified])
    #expect(run.teacherRecord("p") == nil)
    #expect(run.evaluation?.overall.counts.pairs == 16)
    #expect(run.settings.contains { $0.key == "temperature" && $0.value == "2.5" })
    #expect(run.notes.isEmpty)
  }

  @Test func folderWithoutARunIsRefused() throws {
    let folders = try RunFolders()
    try folders.write("empty.txt", "")
    #expect(problem([folders.path("nowhere")])?.code == .fileUnavailable)
    let error = problem([folders.root.path])
    #expect(error?.code == .fileUnavailable && error?.file == folders.root.path)
  }

  @Test func aRunInTrainingShowsWhatItHas() throws {
    let folders = try RunFolders()
    try folders.writeInputs()
    let path = try folders.writeRun("a")
    for name in ["retort.json", "evaluation.json", "dev_predictions.jsonl", "timing.jsonl"] {
      try FileManager.default.removeItem(atPath: "\(path)/\(name)")
    }
    // The last line is being written.
    try folders.write("a/training.jsonl", "{\"step\": 1, \"loss\": null}\n{\"step\": 2, \"lo")
    let run = try #require(try RunFolder.read([path]).first)
    #expect(run.log.steps.map(\.step) == [1] && run.log.steps[0].loss == nil)
    #expect(run.notes.count == 3)
    let builder = ReportBuilder(runs: [run])
    #expect(builder.sectionIDs == ["curves", "settings"])
    #expect(builder.html.contains("evaluation.json is absent"))
  }

  private struct Broken {
    let name: String
    let content: String
    var position: String?
    var code = RetortError.Code.malformedFile
  }

  @Test func brokenFileIsNamed() throws {
    let cases = [
      Broken(name: "training.jsonl", content: "{\"step\": 1}\nnonsense\n{}\n", position: "line 2"),
      Broken(name: "training.jsonl", content: "{\"loss\": 1}\n", position: "line 1"),
      Broken(name: "training.jsonl", content: "{\"step\": \"x\", \"loss\": []}\n", position: "line 1"),
      Broken(name: "settings.json", content: "[1]"),
      Broken(name: "settings.json", content: "{\"inputs\": 3}"),
      Broken(name: "retort.json", content: "{\"format\": 2}", code: .unsupported),
      Broken(name: "retort.json", content: "{\"format\": 1, \"labels\": 3}"),
      Broken(name: "retort.json", content: "{\"format\": 1, \"aspects\": [3]}"),
      Broken(name: "evaluation.json", content: "{\"accuracy\": 3}"),
      Broken(name: "evaluation.json", content: ""),
      Broken(
        name: "dev_predictions.jsonl", content: "{\"pair_id\": \"a\"}\n", position: "line 1",
        code: .malformedRow),
    ]
    for broken in cases {
      let folders = try RunFolders()
      try folders.writeInputs()
      let path = try folders.writeRun("a")
      try folders.write("a/\(broken.name)", broken.content)
      let error = try #require(problem([path]), "\(broken)")
      #expect(error.code == broken.code && error.file == "\(path)/\(broken.name)", "\(broken)")
      #expect(
        !error.remedy.isEmpty && (broken.position == nil || error.position == broken.position), "\(broken)")
    }
  }

  @Test func changedInputIsNotedAndNotUsed() throws {
    let folders = try RunFolders()
    try folders.writeInputs()
    let path = try folders.writeRun("a")
    try folders.write(
      "a/settings.json",
      RunFolders.json([
        "losses": "score,hard",
        "inputs": [
          "dev": ["path": folders.path("dev.jsonl"), "sha256": String(repeating: "0", count: 64)],
          "teacher": folders.path("gone.jsonl"),
        ],
      ]))
    let run = try #require(try RunFolder.read([path]).first)
    #expect(run.losses == ["hard", "score"])
    #expect(run.pairs.isEmpty && run.teachers.isEmpty)
    #expect(
      run.notes.count == 3 && run.notes[0].contains("changed since") && run.notes[1].contains("gone.jsonl")
        && run.notes[2].contains("--teacher"))
  }

  @Test func namesTellFoldersApart() throws {
    #expect(try RunFolder.names(["x/a", "y/b/"]) == ["a", "b"])
    #expect(try RunFolder.names(["x/a", "y/a"]) == ["x/a", "y/a"])
    #expect(throws: RetortError.self) { try RunFolder.names(["x/a", "x/a/"]) }
  }
}
