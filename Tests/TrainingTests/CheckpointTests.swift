import Basics
import Foundation
import Testing

@testable import Training

@Suite struct CheckpointTests {
  static let files = [
    "weights.safetensors", "first-moments.safetensors", "second-moments.safetensors", "state.json",
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

  @Test(arguments: CheckpointTests.files)
  func truncatedFileIsNamedWithTheWayOut(_ file: String) throws {
    try withStoppedRun { options throws in
      let path = options.folder + "/checkpoint-6/" + file
      let whole = try Data(contentsOf: URL(fileURLWithPath: path))
      for length in [0, 5, whole.count / 2, whole.count - 3] {
        try whole.prefix(length).write(to: URL(fileURLWithPath: path))
        let task = try ToyTask()
        let before = try task.bits()
        let error = thrownError { _ = try Remains(task, options) }
        #expect(error?.code == .malformedFile && error?.file == path, "\(length) bytes")
        #expect(error?.remedy.contains("remove the folder \(options.folder)/checkpoint-6") == true)
        #expect(try task.bits() == before)
      }
      try FileManager.default.removeItem(atPath: options.folder + "/checkpoint-6")
      #expect(try Remains(ToyTask(), options) == ResumeTests.undisturbed.get())
    }
  }

  @Test(arguments: CheckpointTests.files)
  func missingFileIsNamed(_ file: String) throws {
    try withStoppedRun { options throws in
      let path = options.folder + "/checkpoint-6/" + file
      try FileManager.default.removeItem(atPath: path)
      let error = thrownError { _ = try Remains(ToyTask(), options) }
      #expect(error?.code == .fileUnavailable && error?.file == path)
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
