import Basics

/// How long, how fast and in what steps to train, and where to keep what a run leaves behind.
public struct TrainingOptions: Sendable {
  /// When the task's metrics are taken; the last step always counts.
  public enum Evaluation: Sendable, Hashable {
    case never
    case everyEpoch
    case every(steps: Int)
  }

  /// Holds `training.jsonl`, `timing.jsonl` and the checkpoints.
  public var folder: String
  /// Goes on from the folder's newest checkpoint; without one, begins.
  public var resumes = false
  public var epochs = 3
  /// Ends the run, and the schedule, before the epochs are over.
  public var largestSteps: Int?
  /// Rows of an optimiser step; an epoch's last step takes what is left.
  public var batchRows = 32
  /// Orders the rows, and is handed to the task.
  public var seed: UInt64 = 1
  public var optimizer = Optimizer.Settings()
  public var schedule = LearningRateSchedule.Shape.linear
  /// The share of the steps in which the learning rate rises.
  public var warmUp = 0.1
  public var evaluation = Evaluation.everyEpoch
  /// Stops after this many evaluations in a row without a better value of the watched metric.
  public var patience: Int?
  /// A checkpoint after this many steps; a better evaluation and the end make one in any case.
  public var checkpointSteps: Int?
  /// A checkpoint after this much time.
  public var checkpointSeconds: Double? = 300
  /// What else the numbers depend on (data, model, losses), by name: a run resumes only where all is as it was.
  public var settings: [String: String] = [:]
  /// The name among the settings of what a backend tells of itself (``Backend/bitChangingParameters(of:)``).
  public static let kernelParameters = "kernel_parameters"

  public init(folder: String) { self.folder = folder }

  /// Refuses counts and rates that no run can have.
  func check(rows: Int) throws {
    func require(_ holds: Bool, _ field: String, _ message: String) throws {
      guard !holds else { return }
      throw RetortError(.invalidArgument, message, field: field, remedy: "Choose another value.")
    }
    guard rows > 0 else {
      throw RetortError(
        .invalidArgument, "there are no rows to train on", field: "rows",
        remedy: "Give training data with at least one usable row.")
    }
    try require((1...1_000_000).contains(epochs), "epochs", "\(epochs) epochs")
    try require((1...1_000_000).contains(batchRows), "batch_rows", "batches of \(batchRows) rows")
    try require(largestSteps.map { $0 > 0 } ?? true, "largest_steps", "no steps")
    try require((0...1).contains(warmUp), "warm_up", "a warm-up of \(warmUp) of the steps")
    let rate = optimizer.learningRate
    try require(rate.isFinite && rate > 0, "learning_rate", "a learning rate of \(rate)")
    try require(
      optimizer.weightDecay >= 0 && optimizer.weightDecay.isFinite, "weight_decay", "a negative decay")
    try require((0..<1).contains(optimizer.beta1), "beta1", "β₁ = \(optimizer.beta1)")
    try require((0..<1).contains(optimizer.beta2), "beta2", "β₂ = \(optimizer.beta2)")
    try require(optimizer.epsilon > 0, "epsilon", "ε = \(optimizer.epsilon)")
    try require(optimizer.largestNorm.map { $0 > 0 } ?? true, "largest_norm", "a largest norm of 0 or less")
    try require(patience.map { $0 > 0 } ?? true, "patience", "a patience of no evaluations")
    try require(checkpointSteps.map { $0 > 0 } ?? true, "checkpoint_steps", "a checkpoint after no steps")
    try require(
      checkpointSeconds.map { (0...1e9).contains($0) } ?? true, "checkpoint_seconds",
      "a checkpoint after \(checkpointSeconds ?? 0) seconds")
    if case .every(let steps) = evaluation {
      try require(steps > 0, "evaluation", "an evaluation after no steps")
    }
  }

  /// Everything that the numbers depend on, by name.
  func boundSettings(rows: Int) -> [String: String] {
    let own = [
      "rows": "\(rows)", "epochs": "\(epochs)", "batch_rows": "\(batchRows)", "seed": "\(seed)",
      "largest_steps": largestSteps.map { "\($0)" } ?? "none", "schedule": schedule.rawValue,
      "warm_up": "\(warmUp)", "learning_rate": "\(optimizer.learningRate)",
      "weight_decay": "\(optimizer.weightDecay)", "beta1": "\(optimizer.beta1)",
      "beta2": "\(optimizer.beta2)",
      "epsilon": "\(optimizer.epsilon)", "largest_norm": optimizer.largestNorm.map { "\($0)" } ?? "none",
      "evaluation": "\(evaluation)", "patience": patience.map { "\($0)" } ?? "none",
    ]
    return settings.merging(own) { $1 }
  }
}
