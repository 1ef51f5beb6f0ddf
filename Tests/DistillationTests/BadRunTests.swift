import Basics
import Foundation
import Relevance
import Testing

@testable import Distillation

/// What a run refuses, and that nothing is lost by it.
@Suite(.serialized) struct BadRunTests {
  /// The names and bytes of all files in a folder and below.
  private func contents(_ folder: String) throws -> [String: Data] {
    var contents: [String: Data] = [:]
    for name in try FileManager.default.subpathsOfDirectory(atPath: folder) {
      contents[name] = try? Data(contentsOf: URL(fileURLWithPath: folder + "/" + name))
    }
    return contents
  }

  /// A device's launch parameters may change between a run's start and its end.
  @Test func launchParametersOnWhichBitsDependBelongToTheRunsSettings() throws {
    let tiny = try TinyRun()
    for (group, expected) in [(512, "norms.gpu any GROUP=512"), (128, nil)] {
      let run = try tiny.run(tiny.settings(.interaction), on: TinyRun.tuned(group: group))
      #expect(run.settings.kernelParameters == expected)
      #expect(try run.bound()["kernel_parameters"] == expected)
    }
    let untuned = try tiny.run(tiny.settings(.interaction))
    #expect(untuned.settings.kernelParameters == nil)
    try tiny.train(untuned, until: 2)
    let error = retortError {
      try tiny.train(
        tiny.run(tiny.settings(.interaction), on: TinyRun.tuned(group: 512)), resumes: true)
    }
    #expect(error?.code == .jobConflict)
    #expect(error?.message.contains("kernel_parameters was absent and is norms.gpu any GROUP=512") == true)
    #expect(error?.remedy.contains("retort tune") == true)
  }

  @Test func numbersOutOfRangeAreRefusedByName() throws {
    let changes: [(option: String, make: (inout DistillationSettings) -> Void)] = [
      ("epochs", { $0.epochs = .max }), ("epochs", { $0.epochs = 0 }), ("batch", { $0.batch = .max }),
      ("batch", { $0.batch = -1 }), ("batch-tokens", { $0.batchTokens = 0 }),
      ("slot-width", { $0.slotWidth = .max }), ("lr", { $0.learningRate = .nan }),
      ("lr", { $0.learningRate = 0 }), ("lr", { $0.learningRate = .infinity }),
      ("warm-up", { $0.warmUp = 1.5 }), ("weight-decay", { $0.weightDecay = .infinity }),
      ("layer-decay", { $0.layerDecay = 0 }), ("dropout", { $0.dropout = 1 }),
      ("clip", { $0.clip = .infinity }),
      ("temperature", { $0.temperature = 1e-300 }), ("temperature", { $0.temperature = .nan }),
      ("evaluate-every", { $0.evaluateEvery = 0 }), ("patience", { $0.patience = -1 }),
      ("limit", { $0.limit = 0 }), ("weights", { $0.weights["hard"] = -1 }),
      ("weights", { $0.weights["score"] = .nan }),
    ]
    let tiny = try TinyRun()
    for (option, change) in changes {
      var settings = tiny.settings(.representation)
      change(&settings)
      let error = retortError { _ = try tiny.run(settings) }
      #expect(error?.code == .invalidArgument && error?.field == option, "\(option)")
    }
    #expect(!FileManager.default.fileExists(atPath: tiny.path("student")))
  }

  @Test func secondsBetweenCheckpointsAreBounded() throws {
    let tiny = try TinyRun()
    for seconds in [-1, .nan, .infinity, 1e300] {
      let error = retortError {
        _ = try tiny.run(tiny.settings(.interaction)).train(
          resumes: false, checkpointSeconds: seconds, progress: { _ in }, shouldStop: { false })
      }
      #expect(error?.code == .invalidArgument && error?.field == "checkpoint_seconds")
    }
  }

  @Test func modelThatIsNoRunsIsNotOverwritten() throws {
    let tiny = try TinyRun()
    let output = tiny.path("student")
    try FileManager.default.copyItem(atPath: tiny.model, toPath: output)
    let before = try contents(output)
    let error = retortError { try tiny.train(tiny.run(tiny.settings(.interaction))) }
    #expect(error?.code == .jobConflict && error?.file?.hasPrefix(output + "/") == true)
    #expect(try contents(output) == before)
    // Nor the model that the run begins with.
    let own = retortError {
      _ = try DistillationRun(
        tiny.settings(.interaction, losses: [.hard]), labels: .standard,
        files: DistillationRun.Files(initial: output, train: [tiny.path("train.jsonl")]), folder: output,
        on: tiny.backend)
    }
    #expect(own?.code == .jobConflict)
    #expect(try contents(output) == before)
  }

  @Test func finishedStudentWithoutItsCheckpointsIsNotOverwritten() throws {
    let tiny = try TinyRun()
    try tiny.train(tiny.run(tiny.settings(.interaction)))
    for name in try FileManager.default.contentsOfDirectory(atPath: tiny.path("student"))
    where name.hasPrefix("checkpoint-") {
      try FileManager.default.removeItem(atPath: tiny.path("student/" + name))
    }
    let before = try contents(tiny.path("student"))
    for resumes in [false, true] {
      let error = retortError { try tiny.train(tiny.run(tiny.settings(.interaction)), resumes: resumes) }
      #expect(error?.code == .jobConflict)
    }
    #expect(try contents(tiny.path("student")) == before)
  }

  @Test(arguments: ["file", "file/below", ""]) func outputThatIsNoFolderIsRefused(name: String) throws {
    let tiny = try TinyRun()
    try tiny.write("file", ["precious"])
    let output = name.isEmpty ? "" : tiny.path(name)
    let error = retortError {
      _ = try DistillationRun(
        tiny.settings(.interaction, losses: [.hard]), labels: .standard,
        files: DistillationRun.Files(initial: tiny.model, train: [tiny.path("train.jsonl")]), folder: output,
        on: tiny.backend)
    }
    #expect(error?.code == .fileUnavailable)
    #expect(try tiny.bytes("file") == Data("precious\n".utf8))
  }

  @Test func repeatedPairIdsAreCountedAndListed() throws {
    let tiny = try TinyRun()
    try tiny.write("twice.jsonl", [0, 1, 2, 3, 4, 0, 1, 2, 4].map { TinyRun.pair($0, "t") })
    try tiny.write("teacher2.jsonl", [0, 1, 2, 1, 0].map { TinyRun.record($0, "t") })
    var settings = tiny.settings(.interaction)
    settings.losses = [LossTerm.hard.rawValue]
    let rows = retortError { _ = try tiny.run(settings, train: ["twice.jsonl"], teacher: nil) }
    #expect(
      rows?.code == .malformedRow && rows?.position == "line 6" && rows?.file == tiny.path("twice.jsonl"))
    #expect(
      rows?.message
        == "4 rows have the pair_id of an earlier one: t0 (line 6), t1 (line 7), t2 (line 8) and 1 more")
    let dev = retortError { _ = try tiny.run(settings, teacher: nil, dev: "twice.jsonl") }
    #expect(dev?.message == rows?.message && dev?.field == "pair_id")
    let records = retortError { _ = try tiny.run(settings, teacher: "teacher2.jsonl") }
    #expect(
      records?.message == "2 records have the pair_id of an earlier one: t1 (line 4), t0 (line 5)")
  }

  @Test func teacherOfOtherPairsIsRefused() throws {
    let tiny = try TinyRun()
    for records in [[], (0..<5).map { TinyRun.record($0, "other") }] {
      try tiny.write("teacher.jsonl", records)
      let error = retortError { _ = try tiny.run(tiny.settings(.interaction)) }
      #expect(error?.code == .invalidArgument && error?.field == "pair_id")
      #expect(error?.file == tiny.path("teacher.jsonl"))
    }
  }

  @Test func emptyFileBesideAFullOneIsRefused() throws {
    let tiny = try TinyRun()
    try tiny.write("none.jsonl", ["", ""])
    let error = retortError {
      _ = try tiny.run(tiny.settings(.interaction), train: ["train.jsonl", "none.jsonl"])
    }
    #expect(error?.code == .invalidArgument && error?.file == tiny.path("none.jsonl"))
  }

  @Test func likelyMistakesAreWarnedOf() throws {
    let tiny = try TinyRun()
    let warnings = try tiny.run(tiny.settings(.interaction)).warnings
    // The fixture's held-out pairs have the training pairs' queries.
    #expect(
      warnings.count == 1 && warnings[0].hasPrefix("18 of 18 held-out pairs have a query of the training"))
    let other = #"{"pair_id": "d1", "query": "garden hose", "title": "hose", "label": "exact"}"#
    try tiny.write("dev.jsonl", [other, TinyRun.pair(2, "d", label: "exact")])
    try tiny.write("teacher.jsonl", (0..<8).map { TinyRun.record($0, "t", verdict: "unspecified") })
    let kinds = try tiny.run(tiny.settings(.representation)).warnings
    #expect(kinds.contains { $0.hasPrefix("1 of 2 held-out pairs have a query") && $0.contains("(d2)") })
    #expect(kinds.contains { $0.hasPrefix("auc is not defined on the held-out pairs") })
    try tiny.write(
      "dev.jsonl", [other, #"{"pair_id": "d2", "query": "rake", "title": "rake", "label": "irrelevant"}"#])
    #expect(try tiny.run(tiny.settings(.interaction, losses: [.hard])).warnings.isEmpty)
  }

  @Test func weightThatIsNoNumberIsNamed() throws {
    let tiny = try TinyRun()
    let path = tiny.model + "/model.safetensors"
    var data = try Data(contentsOf: URL(fileURLWithPath: path))
    let header = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let start = 8 + header
    for place in start..<data.count { data[place] = 0xFF }
    try data.write(to: URL(fileURLWithPath: path))
    let error = retortError { _ = try tiny.run(tiny.settings(.interaction)) }
    #expect(error?.code == .malformedFile && error?.file == tiny.model && error?.field != nil)
  }

  @Test func changedDataAndTokenizerAreNamedOnResuming() throws {
    let tiny = try TinyRun()
    #expect(try !tiny.train(tiny.run(tiny.settings(.interaction)), until: 3))
    let before = try contents(tiny.path("student"))
    let words = tiny.model + "/vocab.txt"
    let text = try String(contentsOfFile: words, encoding: .utf8)
    try text.replacing("drill", with: "frill").write(toFile: words, atomically: true, encoding: .utf8)
    let tokenizer = retortError { try tiny.train(tiny.run(tiny.settings(.interaction)), resumes: true) }
    #expect(tokenizer?.code == .jobConflict && tokenizer?.message.contains("tokenizer was") == true)
    try text.write(toFile: words, atomically: true, encoding: .utf8)
    try tiny.write("dev.jsonl", (0..<9).map { TinyRun.pair($0, "d") })
    let dev = retortError { try tiny.train(tiny.run(tiny.settings(.interaction)), resumes: true) }
    #expect(dev?.code == .jobConflict && dev?.message.contains("dev was") == true)
    #expect(try contents(tiny.path("student")) == before)
  }
}
