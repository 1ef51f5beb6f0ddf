import Basics
import Foundation
import Testing

@testable import Training

/// When checkpoints are written.
enum Cadence: String, CaseIterable, Sendable {
  case onlyWhereNeeded, everyStep, everyFive, always

  func apply(to options: inout TrainingOptions) {
    switch self {
    case .onlyWhereNeeded: break
    case .everyStep: options.checkpointSteps = 1
    case .everyFive: options.checkpointSteps = 5
    case .always: options.checkpointSeconds = 0
    }
  }
}

@Suite struct ResumeTests {
  static let steps = 12
  static let undisturbed = Result { try Remains.undisturbed() }

  @Test(arguments: Cadence.allCases)
  func checkpointsDoNotChangeTheNumbers(_ cadence: Cadence) throws {
    try withFolder { folder throws in
      var options = toyOptions(folder)
      cadence.apply(to: &options)
      #expect(try Remains(ToyTask(), options) == ResumeTests.undisturbed.get())
    }
  }

  @Test(arguments: Cadence.allCases)
  func runThatIsKilledAtAnyStepEndsBitEqual(_ cadence: Cadence) throws {
    for step in 1...ResumeTests.steps {
      for fault in [ToyTask.Fault.before(step), .after(step), .evaluation(step)] {
        if case .evaluation = fault, step % 2 == 1 { continue }
        try withFolder { folder throws in
          var options = toyOptions(folder)
          cadence.apply(to: &options)
          #expect(throws: Killed.self) { try Remains(ToyTask(fault: fault), options) }
          options.resumes = true
          #expect(try Remains(ToyTask(), options) == ResumeTests.undisturbed.get(), "\(fault)")
        }
      }
    }
  }

  @Test func runThatIsKilledAtEveryStepInTurnEndsBitEqual() throws {
    try withFolder { folder throws in
      var options = toyOptions(folder)
      options.checkpointSteps = 1
      options.resumes = true
      for step in 1...ResumeTests.steps {
        let task = try ToyTask(fault: .before(step))
        #expect(throws: Killed.self) { try Remains(task, options) }
        #expect(task.rowsSeen.count == (step == 1 ? 0 : 1))
      }
      #expect(try Remains(ToyTask(), options) == ResumeTests.undisturbed.get())
    }
  }

  @Test func interruptedRunGoesOnWhereItStopped() throws {
    for step in 1..<ResumeTests.steps {
      try withFolder { folder throws in
        var options = toyOptions(folder)
        var polls = 0
        let first = try Remains(ToyTask(), options) {
          polls += 1
          return polls == step
        }
        #expect(first.result.outcome == .interrupted && first.result.steps == step)
        options.resumes = true
        let task = try ToyTask()
        #expect(try Remains(task, options) == ResumeTests.undisturbed.get())
        #expect(task.rowsSeen.count == ResumeTests.steps - step)
      }
    }
  }

  @Test func whatAKilledProcessLeavesHalfWrittenIsCleared() throws {
    try withFolder { folder throws in
      var options = toyOptions(folder)
      options.checkpointSteps = 1
      #expect(throws: Killed.self) { try Remains(ToyTask(fault: .before(8)), options) }
      try FileManager.default.createDirectory(
        atPath: folder + "/.checkpoint-8", withIntermediateDirectories: false)
      try Data("half".utf8).write(to: URL(fileURLWithPath: folder + "/.checkpoint-8/weights.safetensors"))
      let log = try #require(FileHandle(forWritingAtPath: folder + "/training.jsonl"))
      try log.seekToEnd()
      try log.write(contentsOf: Data("{\"step\":8,\"epoch\":3,\"loss\":0.1}\n{\"step\":9,\"ep".utf8))
      try log.close()
      options.resumes = true
      #expect(try Remains(ToyTask(), options) == ResumeTests.undisturbed.get())
      #expect(try !checkpoints(folder).contains(".checkpoint-8"))
    }
  }

  @Test func finishedRunThatIsResumedTakesNoStep() throws {
    try withFolder { folder throws in
      var options = toyOptions(folder)
      let first = try Remains(ToyTask(), options)
      options.resumes = true
      let task = try ToyTask()
      #expect(try Remains(task, options) == first)
      #expect(task.rowsSeen.isEmpty)
    }
  }
}
