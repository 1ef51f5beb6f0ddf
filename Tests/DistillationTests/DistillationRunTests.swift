import Basics
import Distillation
import Foundation
import ModelFormats
import Relevance
import Testing

@Suite(.serialized) struct DistillationRunTests {
  static let files = [
    "model.safetensors", "retort_heads.safetensors", "training.jsonl", "dev_predictions.jsonl",
    "evaluation.json", "settings.json", "retort.json", "README.md",
  ]

  @Test(arguments: StudentKind.allCases, [1, 4, 7])
  func interruptedRunEndsWithTheBytesOfAnUndisturbedOne(kind: StudentKind, step: Int) throws {
    let tiny = try TinyRun()
    #expect(try tiny.train(tiny.run(tiny.settings(kind), output: "whole")))
    #expect(try !tiny.train(tiny.run(tiny.settings(kind), output: "parts"), until: step))
    #expect(try tiny.train(tiny.run(tiny.settings(kind), output: "parts"), resumes: true))
    for name in Self.files {
      let whole = try tiny.bytes("whole/" + name)
      #expect(!whole.isEmpty, "\(name)")
      // It names the folder's own predictions.
      if name != "evaluation.json" { #expect(try tiny.bytes("parts/" + name) == whole, "\(name)") }
    }
  }

  @Test func refusedRunLeavesTheFolderAsItWas() throws {
    let tiny = try TinyRun()
    try tiny.train(tiny.run(tiny.settings(.interaction)))
    let before = try Self.files.map { try tiny.bytes("student/" + $0) }
    var settings = tiny.settings(.interaction)
    settings.learningRate = 2e-3
    for resumes in [false, true] {
      let error = retortError { try tiny.train(tiny.run(settings), resumes: resumes) }
      #expect(error?.code == .jobConflict)
    }
    #expect(try Self.files.map { try tiny.bytes("student/" + $0) } == before)
  }

  @Test func labelOutsideTheSetIsNamedWithItsLine() throws {
    let tiny = try TinyRun()
    try tiny.write("bad.jsonl", [TinyRun.pair(0, "t"), TinyRun.pair(1, "t", label: "superb")])
    let error = retortError { _ = try tiny.run(tiny.settings(.interaction), train: ["bad.jsonl"]) }
    #expect(error?.code == .malformedRow && error?.field == "label" && error?.position == "line 2")
    #expect(error?.file == tiny.path("bad.jsonl"))
    let dev = retortError { _ = try tiny.run(tiny.settings(.interaction), dev: "bad.jsonl") }
    #expect(dev?.code == .malformedRow && dev?.field == "label" && dev?.position == "line 2")
  }

  @Test func unmatchedRecordsAreCountedAndListed() throws {
    let tiny = try TinyRun()
    try tiny.write("teacher.jsonl", (20..<31).map { TinyRun.record($0, "t") })
    let data = try tiny.run(tiny.settings(.representation)).data
    #expect(data.counts.taught == 4 && data.counts.unmatchedRecords == 7)
    #expect(data.unmatched == ["t24", "t25", "t26", "t27", "t28"])
  }

  @Test func eachTrainingFileIsRecordedWithItsOwnRows() throws {
    let tiny = try TinyRun()
    try tiny.write("more.jsonl", (0..<6).map { TinyRun.pair($0, "m") })
    let run = try tiny.run(tiny.settings(.interaction), train: ["train.jsonl", "more.jsonl"])
    #expect(run.settings.trainFiles.map(\.rows) == [24, 6])
    #expect(Set(run.settings.trainFiles.map(\.sha256)).count == 2)
  }

  @Test func duplicatePairIdsAreRefused() throws {
    let tiny = try TinyRun()
    try tiny.write("twice.jsonl", [0, 1, 0].map { TinyRun.pair($0, "t") })
    try tiny.write("teacher.jsonl", [0, 1, 1].map { TinyRun.record($0, "t") })
    let settings = tiny.settings(.interaction)
    for (train, teacher, line) in [
      (["twice.jsonl"], nil, "line 3"), (["train.jsonl", "train.jsonl"], nil, "line 1"),
      (["train.jsonl"], "teacher.jsonl", "line 3"),
    ] {
      var settings = settings
      settings.losses = [LossTerm.hard.rawValue]
      let error = retortError { _ = try tiny.run(settings, train: train, teacher: teacher) }
      #expect(error?.code == .malformedRow && error?.field == "pair_id", "\(train)")
      #expect(error?.position == line, "\(train)")
    }
  }

  @Test func teacherOfOtherLabelsIsRefused() throws {
    let tiny = try TinyRun()
    try tiny.write("teacher.jsonl", [TinyRun.record(0, "t", names: ["good", "fair", "bad"])])
    let error = retortError { _ = try tiny.run(tiny.settings(.interaction)) }
    #expect(error?.code == .malformedRow && error?.field == "probabilities" && error?.position == "line 1")
    try tiny.write("teacher.jsonl", [TinyRun.record(0, "t", verdict: "perhaps")])
    let verdict = retortError { _ = try tiny.run(tiny.settings(.interaction)) }
    #expect(verdict?.code == .malformedRow && verdict?.field == "verdicts")
  }

  @Test func termsOfTheTeacherNeedOne() throws {
    let tiny = try TinyRun()
    for term in [LossTerm.score, .reasoning] {
      let error = retortError {
        _ = try tiny.run(tiny.settings(.interaction, losses: [.hard, term]), teacher: nil)
      }
      #expect(error?.code == .invalidArgument && error?.field == "teacher")
    }
  }

  @Test func emptyFilesAreRefused() throws {
    let tiny = try TinyRun()
    try tiny.write("none.jsonl", [])
    let dev = retortError { _ = try tiny.run(tiny.settings(.interaction), dev: "none.jsonl") }
    #expect(dev?.code == .invalidArgument && dev?.field == "dev" && dev?.file == tiny.path("none.jsonl"))
    let train = retortError { _ = try tiny.run(tiny.settings(.interaction), train: ["none.jsonl"]) }
    #expect(train?.code == .invalidArgument && train?.field == "train")
    let missing = retortError { _ = try tiny.run(tiny.settings(.interaction), train: ["absent.jsonl"]) }
    #expect(missing?.code == .fileUnavailable)
  }

  @Test func vocabularyThatDoesNotFitIsRefused() throws {
    let tiny = try TinyRun()
    let path = tiny.model + "/vocab.txt"
    let words = try String(contentsOfFile: path, encoding: .utf8)
    try (words + "surplus\n").write(toFile: path, atomically: true, encoding: .utf8)
    let error = retortError { _ = try tiny.run(tiny.settings(.representation)) }
    #expect(error?.code == .malformedFile && error?.field == "vocab_size")
  }

  @Test func lengthsBeyondTheModelAreRefused() throws {
    let tiny = try TinyRun()
    for length in [4, 17] {
      var settings = tiny.settings(.interaction)
      settings.maximumLength = length
      let error = retortError { _ = try tiny.run(settings) }
      #expect(error?.code == .invalidArgument && error?.field == "max-length")
    }
  }
}
