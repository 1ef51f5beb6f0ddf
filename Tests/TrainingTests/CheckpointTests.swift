import Basics
import Foundation
import Testing

@testable import Training

@Suite struct CheckpointTests {
  static let files = [
    "weights.safetensors", "first-moments.safetensors", "second-moments.safetensors", "state.json",
    "checksums.json",
  ]

  /// Runs to the sixth step, then hands over the options to resume with.
  private func withStoppedRun(_ body: (TrainingOptions) throws -> Void) throws {
    try withFolder { folder in
      var options = toyOptions(folder)
      options.checkpointSteps = 1
      #expect(throws: Killed.self) { try Remains(ToyTask(fault: .before(7)), options) }
      options.resumes = true
      try body(options)
    }
  }

  @Test func restoredOptimizerHasTheBitsThatWereSaved() throws {
    try withFolder { folder in
      let task = try ToyTask()
      let optimizer = try Optimizer(task.parameters, Optimizer.Settings(), on: task.backend)
      for step in 1...3 {
        _ = try task.step(rows: [1, 2, 3], StepContext(step: step, epoch: 1, seed: 1))
        try optimizer.update(rateFactor: 1)
      }
      var state = TrainingState(settings: ["a": "b/ü\n"])
      state.step = 3
      state.best = TrainingState.Best(step: 2, metric: "auc", value: 0.1 + 0.2)
      let checkpoints = try CheckpointFolder(path: folder)
      try checkpoints.save(state, optimizer)
      let other = try ToyTask()
      let restored = try Optimizer(other.parameters, Optimizer.Settings(), on: other.backend)
      let checkpoint = try checkpoints.checkpoint(step: 3)
      try checkpoint.restore(restored)
      #expect(checkpoint.state == state && restored.step == 3)
      #expect(try other.bits() == task.bits())
      for (a, b) in zip(
        optimizer.firstMoments + optimizer.secondMoments, restored.firstMoments + restored.secondMoments)
      {
        #expect(
          try task.backend.read(a).map(\.bitPattern) == other.backend.read(b).map(\.bitPattern))
      }
    }
  }

  /// Changes a file, and resumes on a run that has no whole checkpoint left and on one that has.
  private func check(_ file: String, _ change: (Data) -> Data?, sourceLocation: SourceLocation) throws {
    try withStoppedRun { options throws in
      func damage(_ step: Int) throws -> String {
        let path = options.folder + "/checkpoint-\(step)/" + file
        let url = URL(fileURLWithPath: path)
        if let changed = change(try Data(contentsOf: url)) {
          try changed.write(to: url)
        } else {
          try FileManager.default.removeItem(at: url)
        }
        return path
      }
      let path = try damage(6)
      let bytes = try? Data(contentsOf: URL(fileURLWithPath: path))
      // All others are made unreadable, and come back.
      let others = try checkpoints(options.folder).filter { $0 != "checkpoint-6" }
      for name in others { try move(options.folder, name + "/state.json", name + "/hidden") }
      let task = try ToyTask()
      let before = try task.bits()
      let error = thrownError { _ = try Remains(task, options) }
      #expect([.malformedFile, .fileUnavailable].contains(error?.code), sourceLocation: sourceLocation)
      // A checksum that is lost tells of the file that it was of.
      let named = file == "checksums.json" ? options.folder + "/checkpoint-6/" : path
      #expect(error?.file?.hasPrefix(named) == true, sourceLocation: sourceLocation)
      #expect(try task.bits() == before, sourceLocation: sourceLocation)
      for name in others { try move(options.folder, name + "/hidden", name + "/state.json") }
      // With the one before it the run ends as if nothing had been, and the damaged one is kept.
      var warnings: [String] = []
      let remains = try Remains(ToyTask(), options, warn: { warnings.append($0) })
      #expect(try remains == ResumeTests.undisturbed.get(), sourceLocation: sourceLocation)
      #expect(
        warnings.count == 2 && warnings[0].hasPrefix(named) && warnings[1] == "going on from step 5",
        "\(warnings)", sourceLocation: sourceLocation)
      let kept = URL(fileURLWithPath: options.folder + "/damaged-checkpoint-6/" + file)
      #expect((try? Data(contentsOf: kept)) == bytes, sourceLocation: sourceLocation)
    }
  }

  private func move(_ folder: String, _ name: String, _ other: String) throws {
    try FileManager.default.moveItem(atPath: folder + "/" + name, toPath: folder + "/" + other)
  }

  @Test(arguments: CheckpointTests.files)
  func truncatedCheckpointIsNamedAndTheOneBeforeTaken(_ file: String) throws {
    for cut in [{ $0.prefix(0) }, { $0.prefix(5) }, { $0.prefix($0.count / 2) }, { $0.dropLast(3) }]
      as [(Data) -> Data]
    {
      try check(file, { Data(cut($0)) }, sourceLocation: #_sourceLocation)
    }
  }

  @Test(arguments: CheckpointTests.files, [0.05, 0.5, 0.9])
  func flippedBitIsFoundAndTheCheckpointBeforeTaken(_ file: String, _ place: Double) throws {
    try check(
      file,
      { data in
        var data = data
        data[Int(Double(data.count) * place)] ^= 1
        return data
      }, sourceLocation: #_sourceLocation)
  }

  @Test(arguments: CheckpointTests.files)
  func missingFileIsNamedAndTheCheckpointBeforeTaken(_ file: String) throws {
    try check(file, { _ in nil }, sourceLocation: #_sourceLocation)
  }

  @Test func runWhoseBestWeightsAreDamagedIsRefused() throws {
    try withFolder { folder in
      var options = toyOptions(folder)
      options.checkpointSteps = 1
      options.evaluation = .every(steps: 4)
      #expect(throws: Killed.self) { try Remains(ToyTask(fault: .before(7)), options) }
      options.resumes = true
      let names = try checkpoints(folder)
      #expect(names == ["checkpoint-4", "checkpoint-5", "checkpoint-6"])
      let path = folder + "/checkpoint-4/weights.safetensors"
      var data = try Data(contentsOf: URL(fileURLWithPath: path))
      data[data.count - 1] ^= 0x80
      try data.write(to: URL(fileURLWithPath: path))
      let error = thrownError { _ = try Remains(ToyTask(), options) }
      #expect(error?.code == .malformedFile && error?.file == path)
      #expect(try checkpoints(folder) == names)
    }
  }

  @Test func checksumIsThatOfZlib() {
    // zlib.crc32 of Python.
    for (text, expected) in [
      ("", "00000000"), ("a", "e8b7be43"), ("123456789", "cbf43926"),
      ("The quick brown fox jumps over the lazy dog", "414fa339"),
    ] {
      var whole = CRC32()
      Array(text.utf8).withUnsafeBytes { whole.update($0) }
      #expect(whole.text == expected)
      var parts = CRC32()
      for byte in text.utf8 { [byte].withUnsafeBytes { parts.update($0) } }
      #expect(parts.text == expected)
    }
  }

  @Test func otherModelIsRefusedByTensor() throws {
    try withStoppedRun { options throws in
      let error = thrownError { _ = try Remains(ToyTask(hidden: 6), options) }
      #expect(error?.code == .jobConflict && error?.field == "first.weight")
    }
  }

  @Test func otherSettingsAreRefusedByName() throws {
    try withStoppedRun { options throws in
      var changed = options
      changed.optimizer.learningRate = 0.04
      changed.settings["data"] = "other"
      let error = thrownError { _ = try Remains(ToyTask(), changed) }
      #expect(error?.code == .jobConflict)
      #expect(
        error?.message.contains("data was toy and is other; learning_rate was 0.05 and is 0.04") == true)
    }
  }

  @Test func runIsNotOverwrittenUnasked() throws {
    try withStoppedRun { options throws in
      var options = options
      options.resumes = false
      #expect(thrownError { _ = try Remains(ToyTask(), options) }?.code == .jobConflict)
      options.resumes = true
      #expect(try Remains(ToyTask(), options) == ResumeTests.undisturbed.get())
    }
  }

  @Test func logThatLacksStepsIsRefused() throws {
    try withStoppedRun { options throws in
      let path = options.folder + "/training.jsonl"
      let lines = try text(path).split(separator: "\n")
      try Data((lines.prefix(4).joined(separator: "\n") + "\n").utf8).write(to: URL(fileURLWithPath: path))
      let error = thrownError { _ = try Remains(ToyTask(), options) }
      #expect(error?.code == .malformedFile && error?.file == path)
    }
  }

  @Test func folderServesOneRunAtATime() throws {
    try withFolder { folder in
      var second: RetortError?
      _ = try Remains(ToyTask(), toyOptions(folder)) {
        second = thrownError { _ = try Remains(ToyTask(), toyOptions(folder)) }
        return false
      }
      #expect(second?.code == .jobConflict && second?.message.contains("going on") == true)
    }
  }
}
