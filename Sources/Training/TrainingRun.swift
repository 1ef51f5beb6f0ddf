import Basics
import Tensors

/// A run in progress: what ``Trainer`` carries from step to step.
final class TrainingRun {
  private let task: any TrainingTask
  private let options: TrainingOptions
  private let optimizer: Optimizer
  private let schedule: LearningRateSchedule
  private let folder: CheckpointFolder
  private let log: TrainingLog
  /// What differs from run to run, kept apart so that the log does not.
  private let timing: TrainingLog
  private var state: TrainingState
  /// The current epoch's rows.
  private var order: [Int] = []
  private var lastCheckpoint = ContinuousClock.now
  private let clock = ContinuousClock()

  /// Begins, or takes up the newest checkpoint that is whole.
  init(
    _ task: any TrainingTask, _ options: TrainingOptions, on backend: any TrainingBackend,
    warn: (String) -> Void
  ) throws {
    self.task = task
    self.options = options
    let batches = (task.rowCount - 1) / options.batchRows + 1
    let steps = batches * options.epochs
    schedule = LearningRateSchedule(
      options.schedule, totalSteps: min(steps, options.largestSteps ?? steps), warmUp: options.warmUp)
    optimizer = try Optimizer(task.parameters, options.optimizer, on: backend)
    folder = try CheckpointFolder(path: options.folder)
    state = TrainingState(settings: options.boundSettings(rows: task.rowCount))
    if let newest = try folder.steps().last {
      guard options.resumes else {
        throw RetortError(
          .jobConflict, "the folder holds a run, at step \(newest)", file: options.folder,
          remedy: "Resume it, or give this run another folder.")
      }
      state = try TrainingRun.takeUp(
        folder, optimizer, settings: state.settings, batches: batches, totalSteps: schedule.totalSteps, warn)
    }
    log = try TrainingLog(path: options.folder + "/training.jsonl", upTo: state.step, isComplete: true)
    timing = try TrainingLog(path: options.folder + "/timing.jsonl", upTo: state.step, isComplete: false)
  }

  func run(_ progress: (TrainingProgress) -> Void, _ shouldStop: () -> Bool) throws -> TrainingResult {
    while state.ending == nil {
      let epoch = state.epochsDone + 1
      let loss = try takeStep()
      let metrics = isEvaluationDue ? try evaluate(epoch: epoch) : nil
      state.ending = ending
      let isInterrupted = shouldStop()
      if isInterrupted || isCheckpointDue { try save() }
      progress(
        TrainingProgress(
          step: state.step, totalSteps: schedule.totalSteps, epoch: epoch, loss: loss, metrics: metrics))
      if isInterrupted && state.ending == nil { return result(.interrupted) }
    }
    if let best = state.best, best.step != state.step {
      try folder.checkpoint(step: best.step).restoreWeights(of: optimizer)
    }
    return result(state.ending == .stoppedEarly ? .stoppedEarly : .completed)
  }

  /// One batch: its loss and gradients, the update, the log.
  private func takeStep() throws -> Double {
    let start = clock.now
    let (step, epoch) = (state.step + 1, state.epochsDone + 1)
    if order.isEmpty {
      order = EpochOrder.rows(count: task.rowCount, seed: options.seed, epoch: state.epochsDone)
    }
    let first = state.batchesDone * options.batchRows
    let rows = Array(order[min(first, order.count)..<min(first + options.batchRows, order.count)])
    let loss = try task.step(rows: rows, StepContext(step: step, epoch: epoch, seed: options.seed))
    guard loss.value.isFinite else {
      throw RetortError(
        .diverged, "the loss is \(loss.value.isNaN ? "not a number" : "\(loss.value)")",
        position: "step \(step)", remedy: Optimizer.divergenceRemedy)
    }
    let factor = schedule.factor(step: step)
    let norm = try optimizer.update(rateFactor: factor)
    state.step = step
    state.batchesDone += 1
    if first + options.batchRows >= task.rowCount {
      state.epochsDone += 1
      state.batchesDone = 0
      order = []
    }
    var line = LogLine(step: step)
    line.add("epoch", epoch)
    line.add("loss", loss.value)
    line.add("parts", loss.parts)
    line.add("learning_rate", options.optimizer.learningRate * factor)
    line.add("gradient_norm", norm)
    line.add("rows", rows.count)
    line.add("tokens", loss.tokens)
    try log.write(line)
    try time("step", since: start)
    return loss.value
  }

  private var isLastStep: Bool { state.step >= schedule.totalSteps }

  private var isEvaluationDue: Bool {
    switch options.evaluation {
    case .never: false
    case .everyEpoch: state.batchesDone == 0 || isLastStep
    case .every(let steps): state.step % steps == 0 || isLastStep
    }
  }

  private func evaluate(epoch: Int) throws -> [String: Double] {
    let start = clock.now
    let metrics = try task.evaluate()
    var line = LogLine(step: state.step)
    line.add("epoch", epoch)
    line.add("dev", metrics)
    try log.write(line)
    try time("evaluation", since: start)
    guard let watched = task.watchedMetric else { return metrics }
    guard let value = metrics[watched.name] else {
      throw RetortError(
        .invalidArgument, "the evaluation gives no such metric", field: watched.name,
        remedy: "Watch one of: \(metrics.keys.sorted().joined(separator: ", ")).")
    }
    if watched.isBetter(value, than: state.best?.value) {
      state.best = TrainingState.Best(step: state.step, metric: watched.name, value: value)
      state.evaluationsSinceBest = 0
    } else {
      state.evaluationsSinceBest += 1
    }
    return metrics
  }

  private var ending: TrainingState.Ending? {
    if isLastStep { return .completed }
    if let patience = options.patience, state.evaluationsSinceBest >= patience { return .stoppedEarly }
    return nil
  }

  /// The best weights live in their checkpoint alone, so a better evaluation is one's moment too.
  private var isCheckpointDue: Bool {
    if state.ending != nil || state.best?.step == state.step { return true }
    if let steps = options.checkpointSteps, state.step % steps == 0 { return true }
    guard let seconds = options.checkpointSeconds else { return false }
    return clock.now - lastCheckpoint >= .seconds(seconds)
  }

  /// The log first: no checkpoint may know of steps that the log has lost.
  private func save() throws {
    let start = clock.now
    try log.synchronize()
    try folder.save(state, optimizer)
    lastCheckpoint = clock.now
    try time("checkpoint", since: start)
  }

  private func time(_ what: String, since start: ContinuousClock.Instant) throws {
    let duration = (clock.now - start).components
    var line = LogLine(step: state.step)
    line.add(what + "_seconds", Double(duration.seconds) + Double(duration.attoseconds) * 1e-18)
    try timing.write(line)
  }

  private func result(_ outcome: TrainingResult.Outcome) -> TrainingResult {
    TrainingResult(
      outcome: outcome, steps: state.step, totalSteps: schedule.totalSteps,
      best: outcome == .interrupted ? nil : state.best)
  }

  /// Restores the newest checkpoint that is whole together with the one of its best weights; damaged ones that are
  /// newer are set aside.
  ///
  /// - Throws: what is wrong with the newest where none is whole.
  private static func takeUp(
    _ folder: CheckpointFolder, _ optimizer: Optimizer, settings: [String: String], batches: Int,
    totalSteps: Int, _ warn: (String) -> Void
  ) throws -> TrainingState {
    var damaged: [(step: Int, error: RetortError)] = []
    for step in try folder.steps().reversed() {
      do {
        let checkpoint = try folder.checkpoint(step: step)
        try compare(checkpoint, settings)
        try checkpoint.check(batches: batches, totalSteps: totalSteps)
        if let best = checkpoint.state.best, best.step != step {
          try folder.checkpoint(step: best.step).verify()
        }
        try checkpoint.restore(optimizer)
      } catch let error as RetortError where [.malformedFile, .fileUnavailable].contains(error.code) {
        damaged.append((step, error))
        continue
      }
      for (step, error) in damaged {
        let name = try folder.setAside(step: step)
        warn("\(error.file ?? name): \(error.message); the checkpoint is kept as \(name)")
      }
      if !damaged.isEmpty { warn("going on from step \(step)") }
      return try folder.checkpoint(step: step).state
    }
    throw damaged.first?.error
      ?? RetortError(
        .malformedFile, "there is no checkpoint", file: folder.path, remedy: "Begin the run anew.")
  }

  /// Refuses to go on under other settings than a checkpoint's.
  private static func compare(_ checkpoint: TrainingCheckpoint, _ settings: [String: String]) throws {
    let stored = checkpoint.state.settings
    let changes = Set(stored.keys).union(settings.keys).sorted().filter { stored[$0] != settings[$0] }
    guard !changes.isEmpty else { return }
    let list = changes.map { "\($0) was \(stored[$0] ?? "absent") and is \(settings[$0] ?? "absent")" }
    let isTuned = changes.contains(TrainingOptions.kernelParameters)
    throw RetortError(
      .jobConflict, "the run began with other settings: \(list.joined(separator: "; "))",
      file: checkpoint.path,
      remedy: "Resume with the settings that the run began with, or give this run another folder."
        + (isTuned ? " \(TrainingOptions.kernelParameters): of the device and what 'retort tune' found." : "")
    )
  }
}
