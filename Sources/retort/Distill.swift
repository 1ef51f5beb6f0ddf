import ArgumentParser
import Basics
import Distillation
import Foundation
import ModelFormats
import Relevance
import Training

extension LossTerm: ExpressibleByArgument {}
extension LearningRateSchedule.Shape: ExpressibleByArgument {}
extension Metric: ExpressibleByArgument {}

struct Distill: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Trains a student on human labels and on a teacher's records.",
    discussion: """
      The output folder is a Hugging Face model: transformers loads an interaction student, sentence-transformers a \
      representation student. It also holds the run: settings.json, training.jsonl, dev_predictions.jsonl, \
      evaluation.json and checkpoints. A run that was killed goes on with --resume and ends bit by bit as if it had \
      not been; Control-C ends it with a checkpoint, a second Control-C at once.

      Example: retort distill --student interaction --init minilm-l6 --train train.jsonl --teacher labels.jsonl \
      --dev dev.jsonl --labels labels.json --output student
      """)

  @Option(help: "interaction (a cross-encoder) or representation (two towers).")
  var student: StudentKind
  @Option(name: .customLong("init"), help: "A folder with a BERT encoder, or the name of a fetched model.")
  var initial: String
  @Option(parsing: .upToNextOption, help: "Pairs to train on; those with a 'label' have a human one.")
  var train: [String]
  @Option(help: "Records of 'retort label' for these pairs, joined by pair_id.")
  var teacher: String?
  @Option(help: "Held-out pairs with labels: they name the best weights and are evaluated at the end.")
  var dev: String?
  @Option(help: "The label set: names and gains; exact, partial, irrelevant by default.")
  var labels: String?
  @Option(help: "The folder to write.")
  var output: String
  @Option(
    help: ArgumentHelp(
      "Which losses count; all by default, or hard alone without --teacher.",
      valueName: "hard,score,reasoning"))
  var losses: String?
  @Option(help: ArgumentHelp("Weights of hard, score and reasoning.", valueName: "a,b,c"))
  var weights = "1,1,0.3"
  @Option(help: "Temperature of the score distribution.")
  var temperature = 2.0
  @Flag(
    help:
      "Fit the teacher's distributions to the human labels of the pairs that have both, before they teach.")
  var calibrateTeacher = false
  @Option(help: "Passes over the training pairs.")
  var epochs = 3
  @Option(help: "Pairs of an optimiser step.")
  var batch = 32
  @Option(help: "Tokens that go through the model at once; a batch of more is computed in pieces.")
  var batchTokens = StudentTrainer.defaultPieceTokens
  @Option(name: .customLong("lr"), help: "The largest learning rate.")
  var learningRate = 5e-5
  @Option(help: "How the learning rate goes on after the warm-up.")
  var schedule = LearningRateSchedule.Shape.linear
  @Option(help: "The share of the steps in which the learning rate rises.")
  var warmUp = 0.1
  @Option(help: "Decoupled weight decay of matrices.")
  var weightDecay = 0.01
  @Option(help: "What learning rates are multiplied by for each layer further from the output.")
  var layerDecay = 1.0
  @Option(help: "Dropout's rate.")
  var dropout = 0.1
  @Option(help: "The largest norm of a step's gradient; 0 for none.")
  var clip = 1.0
  @Option(help: "Tokens that texts are cut to.")
  var maxLength = 128
  @Option(help: "Rows of an aspect's slot of a representation student.")
  var slotWidth = 32
  @Option(help: "Orders the pairs, begins the heads, draws the dropout.")
  var seed: UInt64 = 1
  @Option(help: "What products round their operands to; sums and weights are f32.")
  var compute = TrainingPrecision.bf16
  @Option(help: "The metric of the held-out pairs that names the best weights.")
  var watch = Metric.auc
  @Option(help: "Steps between evaluations; at the end of every epoch by default.")
  var evaluateEvery: Int?
  @Option(help: "Stop after so many evaluations in a row without a better one.")
  var patience: Int?
  @Option(help: "Pairs to read at most.")
  var limit: Int?
  @Option(help: "Seconds between checkpoints.")
  var checkpointSeconds = 300.0
  @Option(help: "Bootstrap resamples for the final intervals.")
  var resamples = 1000
  @Flag(help: "Go on with the run that the folder holds.")
  var resume = false
  @OptionGroup var limits: TimeLimitOptions
  @OptionGroup var options: RunOptions

  func validate() throws {
    guard checkpointSeconds > 0, checkpointSeconds <= 1e9 else {
      throw ValidationError("--checkpoint-seconds must be above 0 and at most 1e9.")
    }
    if !(0...QueryBootstrap.maximumResamples).contains(resamples) {
      throw ValidationError("--resamples must be from 0 to \(QueryBootstrap.maximumResamples).")
    }
    _ = try terms()
    _ = try weightList()
  }

  func run() throws {
    let stop = StopSignal(timeLimit: limits.timeLimit)
    let backend = try options.makeTrainingBackend()
    let labelSet = try labels.map { try LabelSet(path: $0) } ?? .standard
    var files = DistillationRun.Files(initial: try ModelPath.resolve(initial), train: train)
    (files.teacher, files.dev) = (teacher, dev)
    let reading = ProgressBar("Reading", total: nil, isEnabled: !options.json)
    let run = try DistillationRun(
      settings(), labels: labelSet, files: files, folder: output, on: backend
    ) { reading.update($0) }
    reading.finish()
    note(run)
    let bar = ProgressBar("Training", total: run.totalSteps, isEnabled: !options.json)
    let result = try run.train(resumes: resume, checkpointSeconds: checkpointSeconds) { progress in
      bar.update(progress.step, note: String(format: "epoch %d  loss %.4f", progress.epoch, progress.loss))
      guard let value = progress.metrics?[watch.rawValue] else { return }
      bar.finish()
      Output.note(
        String(
          format: "step %d of %d: %@ %.4f on held-out pairs", progress.step, run.totalSteps, watch.rawValue,
          value))
    } shouldStop: {
      stop.isSet
    } warn: {
      Output.note("warning: \($0)")
    }
    bar.finish()
    guard result.outcome != .interrupted else {
      Output.note("\(stop.reason) at step \(result.steps); go on with --resume")
      throw stop.exitCode
    }
    let predicting = ProgressBar("Evaluating", total: run.heldOut?.rows.count, isEnabled: !options.json)
    let report = try run.finish(QueryBootstrap(resamples: resamples, seed: 0)) { predicting.update($0) }
    predicting.finish()
    try write(result, run, report)
  }

  private func terms() throws -> [LossTerm] {
    guard let losses else { return teacher == nil ? [.hard] : LossTerm.allCases }
    return try losses.split(separator: ",").map { name in
      guard let term = LossTerm(rawValue: String(name)) else {
        throw ValidationError("--losses takes some of hard, score and reasoning, found \"\(name)\".")
      }
      return term
    }
  }

  private func weightList() throws -> [String: Double] {
    let numbers = weights.split(separator: ",", omittingEmptySubsequences: false).map { Double($0) }
    guard numbers.count == 3, let first = numbers[0], let second = numbers[1], let third = numbers[2],
      [first, second, third].allSatisfy({ $0 >= 0 && $0.isFinite })
    else { throw ValidationError("--weights takes three numbers of at least 0, such as 1,1,0.3.") }
    return [
      LossTerm.hard.rawValue: first, LossTerm.score.rawValue: second, LossTerm.reasoning.rawValue: third,
    ]
  }

  private func settings() throws -> DistillationSettings {
    var settings = DistillationSettings()
    settings.student = student
    settings.baseModel = initial
    settings.losses = try terms().map(\.rawValue)
    settings.weights = try weightList()
    settings.temperature = temperature
    settings.calibratesTeacher = calibrateTeacher
    settings.epochs = epochs
    settings.batch = batch
    settings.batchTokens = batchTokens
    settings.maximumLength = maxLength
    settings.learningRate = learningRate
    settings.schedule = schedule
    settings.warmUp = warmUp
    settings.weightDecay = weightDecay
    settings.layerDecay = layerDecay
    settings.dropout = dropout
    settings.clip = clip
    settings.slotWidth = slotWidth
    settings.seed = seed
    settings.compute = compute.rawValue
    settings.evaluateEvery = evaluateEvery
    settings.patience = patience
    settings.watch = watch.rawValue
    settings.limit = limit
    return settings
  }

  private func note(_ run: DistillationRun) {
    let (data, counts) = (run.data, run.data.counts)
    Output.note(
      "\(counts.pairs) pairs, \(counts.labelled) with a label, \(counts.taught) with a teacher's record; "
        + "\(data.rows.count) train")
    if let fit = data.calibration {
      Output.note(
        String(
          format: "teacher fitted to %d human labels: temperature %.3f, log loss %.3f to %.3f", fit.pairs,
          fit.temperature, fit.logLossBefore, fit.logLossAfter))
    }
    for warning in run.warnings { Output.note("warning: \(warning)") }
  }

  private func write(
    _ result: TrainingResult, _ run: DistillationRun, _ report: EvaluationReport<Evaluation>?
  ) throws {
    if options.json {
      var summary: [String: Any] = [
        "output": output, "outcome": result.outcome.rawValue, "steps": result.steps,
        "pairs": run.data.counts.pairs, "rows": run.data.rows.count,
        "unmatched_records": run.data.counts.unmatchedRecords,
      ]
      if let best = result.best { summary["best_step"] = best.step }
      for metric in Metric.allCases { summary[metric.rawValue] = report?.overall[metric].value }
      return Output.write(try Output.json(summary))
    }
    if let report { Output.write(EvalTable.text(report)) }
    Output.write("student in \(output)\n")
  }
}
