import Basics
import Tensors

/// What a run tells while it goes on.
public struct TrainingProgress: Sendable {
  public let step: Int
  public let totalSteps: Int
  /// Counted from 1.
  public let epoch: Int
  public let loss: Double
  /// Where this step ended with an evaluation.
  public let metrics: [String: Double]?
}

/// How a run ended.
public struct TrainingResult: Sendable, Hashable {
  /// Why the run returned.
  public enum Outcome: String, Sendable {
    case completed
    case stoppedEarly = "stopped-early"
    /// The caller asked for it; a checkpoint of the last step was written.
    case interrupted
  }

  public let outcome: Outcome
  /// Optimiser steps taken.
  public let steps: Int
  public let totalSteps: Int
  /// The evaluation whose weights the parameters now have; nil where nothing was evaluated or the run was interrupted.
  public let best: TrainingState.Best?
}

/// Trains: epochs over shuffled rows, evaluations, early stop, checkpoints and a log.
public enum Trainer {
  /// Runs a task to its end, or from where it was left to its end, and leaves the best weights in the parameters.
  ///
  /// A run that is killed at any moment and resumed ends with the bits, and with the `training.jsonl`, of a run that
  /// never stopped; when checkpoints are written has no influence on either.
  /// - Parameters:
  ///   - progress: called after every step.
  ///   - shouldStop: asked after every step; where it is true the run is interrupted.
  ///   - warn: told of a checkpoint that is damaged where the run goes on from an earlier one.
  /// - Throws: `invalidArgument` for options that no run can have; `jobConflict` where the folder holds a run that
  ///   was not to be resumed, differs in its settings, or is going on; `malformedFile` where no checkpoint is whole;
  ///   `diverged`, naming the step, where loss or gradients are not finite: earlier checkpoints stay; and what the
  ///   task, the backend and the disk throw.
  public static func run(
    _ task: any TrainingTask, _ options: TrainingOptions, on backend: any TrainingBackend,
    progress: (TrainingProgress) -> Void = { _ in }, shouldStop: () -> Bool = { false },
    warn: (String) -> Void = { _ in }
  ) throws -> TrainingResult {
    try options.check(rows: task.rowCount)
    let run = try TrainingRun(task, options, on: backend, warn: warn)
    return try run.run(progress, shouldStop)
  }
}
