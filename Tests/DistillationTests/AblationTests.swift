import Basics
import Distillation
import Foundation
import ModelFormats
import Relevance
import Testing

@Suite(.serialized) struct AblationTests {
  static func grid(_ tiny: TinyRun) -> AblationConfiguration {
    var grid = AblationConfiguration()
    grid.train = [tiny.path("train.jsonl")]
    grid.dev = tiny.path("dev.jsonl")
    grid.teacher = tiny.path("teacher.jsonl")
    grid.teacherDev = tiny.path("teacher_dev.jsonl")
    grid.output = tiny.path("grid")
    grid.losses = [[.hard], [.hard, .score, .reasoning]]
    grid.seeds = [1, 2]
    grid.shared = tiny.settings(.interaction)
    grid.shared.epochs = 1
    grid.resamples = 50
    return grid
  }

  static func ablation(_ grid: AblationConfiguration, _ tiny: TinyRun) -> Ablation {
    Ablation(grid, labels: .standard, initial: tiny.model, on: tiny.backend)
  }

  static func students(_ grid: AblationConfiguration) throws -> [Data] {
    try grid.cells.flatMap { cell in
      try ["model.safetensors", "dev_predictions.jsonl", "training.jsonl"].map {
        try Data(contentsOf: URL(fileURLWithPath: grid.folder(cell) + "/" + $0))
      }
    }
  }

  @Test func gridIsTrainedOnceAndTabulated() throws {
    let tiny = try TinyRun()
    let grid = Self.grid(tiny)
    let first = try Self.ablation(grid, tiny).run()
    #expect(first.map(\.cell) == grid.cells && first.allSatisfy { $0.outcome == .trained })
    let students = try Self.students(grid)
    let second = try Self.ablation(grid, tiny).run()
    #expect(second.map(\.cell) == grid.cells && second.allSatisfy { $0.outcome == .kept })
    #expect(try Self.students(grid) == students)

    let report = try AblationReport(grid, labels: .standard)
    #expect(report.rows.map(\.name) == ["hard", "hard+score+reasoning", "hard", "hard+score+reasoning"])
    #expect(report.rows.map { $0.result.differences != nil } == [false, true, false, true])
    #expect(report.teacher?.pairs == 18 && report.pairs == 18)
    for row in report.rows {
      let mean = try row.runs.map { try #require($0[.auc].value) }.reduce(0, +) / 2
      #expect(try abs(#require(row.result[.auc].value) - mean) < 1e-12)
    }
    try report.write(to: grid.output)
    let stored = try JSONDecoder().decode(AblationReport.self, from: tiny.bytes("grid/ablation.json"))
    #expect(stored == report)
    let table = try String(contentsOfFile: grid.output + "/ablation.md", encoding: .utf8)
    let lines = table.split(separator: "\n").filter { $0.hasPrefix("|") }
    #expect(lines.count == 2 + 4 + 1 && Set(lines.map { $0.count { $0 == "|" } }) == [11])
    #expect(report.text.contains("hard+score+reasoning (2 seeds)"))
  }

  @Test func gridOfACalibratedTeacherIsTrainedOnce() throws {
    let tiny = try TinyRun()
    var grid = Self.grid(tiny)
    (grid.seeds, grid.students, grid.shared.calibratesTeacher) = ([1], [.interaction], true)
    #expect(try Self.ablation(grid, tiny).run().allSatisfy { $0.outcome == .trained })
    #expect(try Self.ablation(grid, tiny).run().allSatisfy { $0.outcome == .kept })
    grid.shared.calibratesTeacher = false
    let error = retortError { _ = try Self.ablation(grid, tiny).run() }
    #expect(error?.message.hasSuffix(": calibrate_teacher") == true)
  }

  @Test func oneSeedsDifferenceIsThatOfAComparison() throws {
    let tiny = try TinyRun()
    var grid = Self.grid(tiny)
    grid.seeds = [3]
    grid.students = [.representation]
    _ = try Self.ablation(grid, tiny).run()
    let row = try #require(AblationReport(grid, labels: .standard).rows.last)
    let job = EvaluationJob(
      input: grid.dev, labels: .standard, bootstrap: try QueryBootstrap(resamples: 50, seed: 0))
    let files = grid.cells.map { grid.folder($0) + "/dev_predictions.jsonl" }
    let comparison = try job.compare(files[0], files[1]).report.overall
    #expect(row.result.differences == comparison.differences)
    #expect(row.result.metrics == comparison.b.metrics)
  }

  @Test func interruptedGridEndsWithTheSameStudents() throws {
    let tiny = try TinyRun()
    var grid = Self.grid(tiny)
    grid.seeds = [1]
    _ = try Self.ablation(grid, tiny).run()
    let whole = try Self.students(grid)
    grid.output = tiny.path("again")
    for stop in [3, 2, 4] {
      var steps = 0
      let outcomes = try Self.ablation(grid, tiny).run(
        report: { if case .progress = $0 { steps += 1 } }, shouldStop: { steps >= stop })
      #expect(outcomes.last?.outcome == .interrupted)
    }
    let outcomes = try Self.ablation(grid, tiny).run().map(\.outcome)
    #expect(outcomes.last == .trained)
    #expect(try Self.students(grid) == whole)
  }

  @Test func finishedStudentOfOtherSettingsIsNotOverwritten() throws {
    let tiny = try TinyRun()
    var grid = Self.grid(tiny)
    (grid.seeds, grid.students, grid.losses) = ([1], [.interaction], [[.hard]])
    _ = try Self.ablation(grid, tiny).run()
    let students = try Self.students(grid)
    var other = grid
    other.shared.learningRate = 1e-4
    other.shared.warmUp = 0.5
    let error = retortError { _ = try Self.ablation(other, tiny).run() }
    #expect(error?.code == .jobConflict && error?.file?.hasSuffix("settings.json") == true)
    #expect(error?.message.hasSuffix("learning_rate, warm_up") == true)
    // The same words in other files are the same data; other words are not.
    try FileManager.default.copyItem(atPath: grid.train[0], toPath: tiny.path("copy.jsonl"))
    grid.train = [tiny.path("copy.jsonl")]
    #expect(try Self.ablation(grid, tiny).run().map(\.outcome) == [.kept])
    try tiny.write("copy.jsonl", (0..<23).map { TinyRun.pair($0, "t") })
    let data = retortError { _ = try Self.ablation(grid, tiny).run() }
    #expect(data?.message.hasSuffix(": train") == true)
    #expect(try Self.students(grid) == students)
  }

  @Test func finishedStudentOfTunedDeviceIsKeptThereAlone() throws {
    let tiny = try TinyRun()
    var grid = Self.grid(tiny)
    (grid.seeds, grid.students, grid.losses) = ([1], [.interaction], [[.hard]])
    _ = try Self.ablation(grid, tiny).run()
    // As if it had been trained on the tuned device.
    let (path, device) = (grid.folder(grid.cells[0]) + "/settings.json", try TinyRun.tuned(group: 512))
    var settings = try DistillationSettings(path: path)
    (settings.backend, settings.kernelParameters) = (device.device.backend, "norms.gpu any GROUP=512")
    try JSONEncoder().encode(settings).write(to: URL(fileURLWithPath: path))
    let same = Ablation(grid, labels: .standard, initial: tiny.model, on: device)
    #expect(try same.run().map(\.outcome) == [.kept])
    let other = Ablation(grid, labels: .standard, initial: tiny.model, on: try TinyRun.tuned(group: 256))
    let error = retortError { _ = try other.run() }
    #expect(error?.message.hasSuffix(": kernel_parameters") == true)
  }
}

@Suite struct AblationConfigurationTests {
  static let least = #""train": "t", "dev": "d", "init": "i", "output": "o""#

  @Test func configurationHoldsWhatTheFileSays() throws {
    let text = """
      {"train": ["a", "b"], "dev": "d", "init": "i", "output": "o", "teacher": "t", "teacher_dev": "u",
       "students": ["representation"], "losses": [["reasoning", "hard"], ["score"]], "seeds": [7, 3],
       "weights": [1, 0.5, 0.25], "temperature": 3, "calibrate_teacher": true,
       "epochs": 5, "batch": 8, "batch_tokens": 99,
       "learning_rate": 2e-5, "schedule": "cosine", "warm_up": 0.2, "weight_decay": 0, "layer_decay": 0.9,
       "dropout": 0, "clip": 2, "max_length": 64, "slot_width": 16, "compute": "f32", "watch": "spearman",
       "evaluate_every": 50, "patience": 2, "limit": 1000, "checkpoint_seconds": 60, "resamples": 10}
      """
    let grid = try AblationConfiguration(json: Array(text.utf8))
    #expect(grid.train == ["a", "b"] && grid.teacherDev == "u" && grid.resamples == 10)
    #expect(
      grid.cells.map(\.name) == [
        "representation-hard+reasoning-seed7", "representation-hard+reasoning-seed3",
        "representation-score-seed7", "representation-score-seed3",
      ])
    var settings = DistillationSettings()
    settings.student = .representation
    settings.baseModel = "i"
    settings.losses = ["score"]
    settings.weights = ["hard": 1, "score": 0.5, "reasoning": 0.25]
    (settings.temperature, settings.epochs, settings.batch, settings.batchTokens) = (3, 5, 8, 99)
    (settings.learningRate, settings.schedule, settings.warmUp) = (2e-5, .cosine, 0.2)
    (settings.weightDecay, settings.layerDecay, settings.dropout, settings.clip) = (0, 0.9, 0, 2)
    (settings.maximumLength, settings.slotWidth, settings.compute) = (64, 16, "f32")
    (settings.watch, settings.evaluateEvery, settings.patience, settings.limit) = ("spearman", 50, 2, 1000)
    (settings.seed, settings.calibratesTeacher) = (3, true)
    #expect(grid.settings(grid.cells[3]) == settings)
    #expect(grid.files(grid.cells[3], initial: "x").teacher == "t")
  }

  @Test func defaultsAreTheWholeGridOrHardWithoutATeacher() throws {
    let whole = try AblationConfiguration(json: Array(#"{\#(Self.least), "teacher": "t"}"#.utf8))
    #expect(whole.cells.count == 8 && whole.files(whole.cells[0], initial: "x").teacher == nil)
    let hard = try AblationConfiguration(json: Array(#"{\#(Self.least), "losses": [["hard"]]}"#.utf8))
    #expect(hard.cells.map(\.name) == ["interaction-hard-seed1", "representation-hard-seed1"])
  }

  @Test(arguments: [
    (#""epochs": 0"#, "epochs"), (#""epochs": 2.5"#, "epochs"), (#""epohcs": 2"#, "epohcs"),
    (#""learning_rate": "fast""#, "learning_rate"), (#""dropout": 1"#, "dropout"),
    (#""students": ["interaction", "oracle"]"#, "students[1]"), (#""students": []"#, "students"),
    (#""losses": [["hard"], ["score", "soft"]]"#, "losses[1][1]"), (#""losses": ["hard"]"#, "losses[0]"),
    (#""losses": [["hard"], ["hard", "score"]]"#, "losses[1]"), (#""seeds": [1, -1]"#, "seeds[1]"),
    (#""seeds": [1, 1]"#, "seeds"), (#""watch": "luck""#, "watch"), (#""weights": [1, 2]"#, "weights"),
    (#""weights": {"hard": -1}"#, "weights.hard"), (#""train": []"#, "train"), (#""dev": """#, "dev"),
    (#""teacher": 7"#, "teacher"), (#""compute": "int8""#, "compute"), (#""limit": 0"#, "limit"),
    (#""resamples": 1e9"#, "resamples"),
  ])
  func badFieldIsNamed(entry: String, field: String) throws {
    // A key that stands twice takes its last value.
    let hard = entry.contains("losses") ? "" : #""losses": [["hard"]], "#
    let text = "{\(Self.least), \(hard)\(entry)}"
    let error = retortError { _ = try AblationConfiguration(json: Array(text.utf8)) }
    #expect(error?.code == .malformedFile && error?.field == field)
  }

  @Test(arguments: ["train", "dev", "init", "output"]) func missingFieldIsNamed(field: String) throws {
    let text = "{\(Self.least), \"losses\": [[\"hard\"]]}".replacing("\"\(field)\": ", with: "\"labels\": ")
    let error = retortError { _ = try AblationConfiguration(json: Array(text.utf8)) }
    #expect(error?.code == .malformedFile && error?.field == field)
  }

  @Test(arguments: ["", "[", "[]", "{\"train\"", "7"]) func otherTextIsRefused(text: String) throws {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("grid-\(UUID()).json").path
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(atPath: path) }
    let error = retortError { _ = try AblationConfiguration(path: path) }
    #expect(error?.file == path)
    #expect(error?.code == .malformedFile || error?.code == .fileUnavailable)
  }
}
