import Basics
import Foundation
import Tensors
import Testing

@testable import Training

/// Evaluates to what a script says, and remembers the weights it had then.
private final class ScriptedTask: TrainingTask {
  let toy: ToyTask
  let script: [Double]
  private(set) var weights: [[[UInt32]]] = []

  init(_ script: [Double]) throws {
    toy = try ToyTask()
    self.script = script
  }

  var parameters: [Parameter] { toy.parameters }
  var rowCount: Int { toy.rowCount }
  var watchedMetric: WatchedMetric? { WatchedMetric("auc") }
  func step(rows: [Int], _ context: StepContext) throws -> StepLoss { try toy.step(rows: rows, context) }

  func evaluate() throws -> [String: Double] {
    weights.append(try toy.bits())
    return ["auc": script.isEmpty ? .nan : script[min(weights.count, script.count) - 1]]
  }
}

@Suite struct TrainerTests {
  @Test func epochVisitsEveryRowOnceInTheEpochsOrder() throws {
    try withFolder { folder throws in
      let task = try ToyTask()
      _ = try Remains(task, toyOptions(folder))
      #expect(task.rowsSeen.map(\.count) == [4, 4, 2, 4, 4, 2, 4, 4, 2, 4, 4, 2])
      for epoch in 0..<4 {
        let rows = task.rowsSeen[epoch * 3..<epoch * 3 + 3].flatMap { $0 }
        #expect(rows == EpochOrder.rows(count: 10, seed: 11, epoch: epoch))
      }
    }
  }

  @Test func trainingLowersTheLoss() throws {
    try withFolder { folder throws in
      let task = try ToyTask()
      let before = try #require(try task.evaluate()["loss"])
      let best = try #require(try Remains(task, toyOptions(folder)).result.best)
      #expect(best.metric == "loss" && best.value < before * 0.8)
      #expect(try task.evaluate()["loss"] == best.value)
    }
  }

  @Test func logHasALineAStepAndALineAnEvaluation() throws {
    try withFolder { folder throws in
      var options = toyOptions(folder)
      options.largestSteps = 3
      _ = try Remains(ToyTask(), options)
      let lines = try text(folder + "/training.jsonl").split(separator: "\n")
      func line(_ place: Int) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(lines[place].utf8)) as? [String: Any])
      }
      #expect(lines.count == 5)
      #expect(
        try line(0).keys.sorted() == [
          "epoch", "gradient_norm", "learning_rate", "loss", "parts", "rows", "step", "tokens",
        ])
      #expect(try line(0)["rows"] as? Int == 4 && line(0)["tokens"] as? Int == 8)
      #expect(try line(2).keys.sorted() == ["dev", "epoch", "step"] && line(2)["step"] as? Int == 2)
      #expect(try line(4)["step"] as? Int == 3 && (line(4)["dev"] as? [String: Double])?["rows"] == 10)
      #expect(try text(folder + "/timing.jsonl").contains("\"step_seconds\":"))
    }
  }

  @Test func runStopsWhenTheMetricNoLongerImprovesAndKeepsTheBestWeights() throws {
    try withFolder { folder throws in
      let task = try ScriptedTask([0.5, 0.7, 0.6, 0.7, 0.9])
      var options = toyOptions(folder)
      options.patience = 2
      let result = try Trainer.run(task, options, on: task.toy.backend)
      #expect(result.outcome == .stoppedEarly && result.steps == 8)
      #expect(result.best == TrainingState.Best(step: 4, metric: "auc", value: 0.7))
      #expect(try task.toy.bits() == task.weights[1])
      options.resumes = true
      let again = try ScriptedTask([])
      #expect(try Trainer.run(again, options, on: again.toy.backend) == result)
      #expect(try again.toy.bits() == task.weights[1] && again.weights.isEmpty)
    }
  }

  @Test func metricThatIsNotDefinedNeverCountsAsBest() throws {
    try withFolder { folder throws in
      let task = try ScriptedTask([.nan, 0.2, .nan, .infinity, 0.1])
      let result = try Trainer.run(task, toyOptions(folder), on: task.toy.backend)
      #expect(result.best?.step == 4 && result.outcome == .completed)
      #expect(try text(folder + "/training.jsonl").contains("\"dev\":{\"auc\":null}"))
    }
  }

  @Test(arguments: [([0.5, 0.9, 0.1], 4), ([0.1, 0.2, 0.3, 0.2, 0.1, 0.9], 6)])
  func lastTwoCheckpointsStayAndTheBestThatEachKnows(_ script: [Double], best: Int) throws {
    try withFolder { folder throws in
      let task = try ScriptedTask(script)
      var options = toyOptions(folder)
      options.checkpointSteps = 1
      _ = try Trainer.run(task, options, on: task.toy.backend)
      #expect(try checkpoints(folder) == ["checkpoint-11", "checkpoint-12", "checkpoint-\(best)"])
    }
  }

  @Test func withoutEvaluationTheLastWeightsStay() throws {
    try withFolder { folder throws in
      let task = try ScriptedTask([])
      var options = toyOptions(folder)
      options.evaluation = .never
      let result = try Trainer.run(task, options, on: task.toy.backend)
      #expect(result.best == nil && result.steps == 12 && task.weights.isEmpty)
      #expect(try checkpoints(folder) == ["checkpoint-12"])
    }
  }

  @Test(arguments: [ToyTask.Fault.notANumber(5), .infiniteGradient(5)])
  func lossThatIsNotFiniteStopsWithTheStepAndKeepsTheLastCheckpoint(_ fault: ToyTask.Fault) throws {
    try withFolder { folder throws in
      var options = toyOptions(folder)
      options.checkpointSteps = 1
      let error = thrownError { _ = try Remains(ToyTask(fault: fault), options) }
      #expect(error?.code == .diverged && error?.position == "step 5")
      #expect(try checkpoints(folder).contains("checkpoint-4"))
      #expect(try text(folder + "/training.jsonl").split(separator: "\n").count == 6)
      options.resumes = true
      #expect(try Remains(ToyTask(), options) == ResumeTests.undisturbed.get())
    }
  }

  @Test func optionsThatNoRunCanHaveAreRefusedByName() throws {
    let changes: [(String, (inout TrainingOptions) -> Void)] = [
      ("epochs", { $0.epochs = 0 }), ("batch_rows", { $0.batchRows = 0 }), ("warm_up", { $0.warmUp = 1.5 }),
      ("learning_rate", { $0.optimizer.learningRate = .nan }), ("patience", { $0.patience = 0 }),
      ("evaluation", { $0.evaluation = .every(steps: 0) }), ("largest_steps", { $0.largestSteps = 0 }),
      ("checkpoint_steps", { $0.checkpointSteps = 0 }), ("beta2", { $0.optimizer.beta2 = 1 }),
    ]
    try withFolder { folder throws in
      for (field, change) in changes {
        var options = toyOptions(folder)
        change(&options)
        let error = thrownError { _ = try Remains(ToyTask(), options) }
        #expect(error?.code == .invalidArgument && error?.field == field)
      }
      #expect(try checkpoints(folder).isEmpty)
    }
  }

  @Test func metricThatTheTaskDoesNotGiveIsNamed() throws {
    final class Mute: TrainingTask {
      let toy: ToyTask
      init() throws { toy = try ToyTask() }
      var parameters: [Parameter] { toy.parameters }
      var rowCount: Int { toy.rowCount }
      var watchedMetric: WatchedMetric? { WatchedMetric("auc") }
      func step(rows: [Int], _ context: StepContext) throws -> StepLoss { try toy.step(rows: rows, context) }
      func evaluate() throws -> [String: Double] { try toy.evaluate() }
    }
    try withFolder { folder throws in
      let task = try Mute()
      let error = thrownError { _ = try Trainer.run(task, toyOptions(folder), on: task.toy.backend) }
      #expect(error?.code == .invalidArgument && error?.field == "auc")
      #expect(error?.remedy == "Watch one of: loss, rows.")
    }
  }
}
