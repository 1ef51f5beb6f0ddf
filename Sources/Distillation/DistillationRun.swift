import Basics
import Foundation
import ModelFormats
import Relevance
import Tensors
import Tokenizers
import Training
import Transformers

/// What a distillation is made with; all of it stands in the run's `settings.json`.
public struct DistillationSettings: Sendable, Hashable, Codable {
  /// A file and what it held.
  public struct Input: Sendable, Hashable, Codable {
    public let path: String
    public let sha256: String
    /// Rows that were read; 0 for a model.
    public let rows: Int
  }

  public var student = StudentKind.interaction
  public var baseModel = ""
  public var losses: [String] = LossTerm.allCases.map(\.rawValue)
  public var weights: [String: Double] = [:]
  public var temperature = 2.0
  /// Whether the teacher's distributions are fitted to the human labels first.
  public var calibratesTeacher = false
  /// That fit.
  public var teacherCalibration: TeacherCalibration?
  public var epochs = 3
  public var batch = 32
  public var batchTokens = StudentTrainer.defaultPieceTokens
  public var maximumLength = 128
  public var learningRate = 5e-5
  public var schedule = LearningRateSchedule.Shape.linear
  public var warmUp = 0.1
  public var weightDecay = 0.01
  public var layerDecay = 1.0
  public var dropout = 0.1
  public var clip = 1.0
  public var slotWidth = 32
  public var seed: UInt64 = 1
  public var compute = "bf16"
  public var backend = ""
  /// What of the device's arithmetic bits depend on: tensor cores, and launch parameters that are not every device's.
  public var kernelParameters: String?
  public var evaluateEvery: Int?
  public var patience: Int?
  public var watch = Metric.auc.rawValue
  public var limit: Int?
  public var aspects: [String] = []
  public var inputs: [String: Input] = [:]
  public var trainFiles: [Input] = []

  public init() {}

  /// Of products.
  var precision: DType { compute == "f32" ? .f32 : .bf16 }

  enum CodingKeys: String, CodingKey {
    case student, losses, weights, temperature, epochs, batch, schedule, dropout, clip, seed, compute, backend
    case patience, watch, limit, aspects, inputs
    case baseModel = "base_model"
    case kernelParameters = "kernel_parameters"
    case calibratesTeacher = "calibrate_teacher"
    case teacherCalibration = "teacher_calibration"
    case batchTokens = "batch_tokens"
    case maximumLength = "max_length"
    case learningRate = "learning_rate"
    case warmUp = "warm_up"
    case weightDecay = "weight_decay"
    case layerDecay = "layer_decay"
    case slotWidth = "slot_width"
    case evaluateEvery = "evaluate_every"
    case trainFiles = "train"
  }

  /// - Throws: `invalidArgument` where no term counts.
  public func lossSettings() throws -> LossSettings {
    var all: [LossTerm: Double] = [:]
    for term in LossTerm.allCases {
      let weight = weights[term.rawValue] ?? LossSettings.defaultWeights[term] ?? 0
      all[term] = losses.contains(term.rawValue) ? weight : 0
    }
    return try LossSettings(weights: all, temperature: temperature)
  }
}

/// Reads, trains, evaluates and writes: a student from its data to its folder.
public final class DistillationRun {
  public let folder: String
  public private(set) var settings: DistillationSettings
  public let student: any Student
  public let data: TrainingData
  public let heldOut: HeldOutPairs?
  let losses: LossSettings
  private let labels: LabelSet
  private let source: EncoderSource
  private let trainer: StudentTrainer
  private let backend: any TrainingBackend
  private let tokenizerHash: String

  /// The student's judgement of the held-out pairs, a record a line.
  public static let predictionsFileName = "dev_predictions.jsonl"

  /// Files that a run reads.
  public struct Files: Sendable {
    public var initial: String
    public var train: [String]
    public var teacher: String?
    public var dev: String?

    public init(initial: String, train: [String], teacher: String? = nil, dev: String? = nil) {
      self.initial = initial
      self.train = train
      self.teacher = teacher
      self.dev = dev
    }
  }

  /// Reads the model and the data.
  ///
  /// - Throws: what reading throws; `invalidArgument` for settings out of range, or where a loss is asked for that the
  ///   data cannot give; `jobConflict` where the folder holds another model.
  public init(
    _ settings: DistillationSettings, labels: LabelSet, files: Files, folder: String,
    on backend: any TrainingBackend, progress: (Int) -> Void = { _ in }
  ) throws {
    try settings.check()
    let losses = try settings.lossSettings()
    try OutputFolder.check(folder)
    if files.teacher == nil { try Self.checkWithoutTeacher(settings, losses) }
    let teacher = try files.teacher.map { try TeacherFile(path: $0, labels: labels) }
    source = try EncoderSource(folder: files.initial)
    let tokenizer = try WordPieceTokenizer(folder: files.initial)
    try Self.check(tokenizer, source, settings)
    let shape = StudentShape(labels: labels, aspects: teacher?.aspects ?? [], slotWidth: settings.slotWidth)
    let student = try settings.student.make(
      source, shape: shape, seed: settings.seed, layerDecay: Float(settings.layerDecay), on: backend)
    try Self.checkWeights(student, files.initial, on: backend)
    let data = try TrainingData(
      files: files.train, teacher: teacher, student: student, settings: losses, tokenizer: tokenizer,
      maximumLength: settings.maximumLength, calibratesTeacher: settings.calibratesTeacher,
      limit: settings.limit, progress: progress)
    let heldOut = try files.dev.map {
      try HeldOutPairs(
        path: $0, student: student, tokenizer: tokenizer, maximumLength: settings.maximumLength)
    }
    var settings = settings
    settings.aspects = shape.aspects
    settings.teacherCalibration = data.calibration
    settings.backend = backend.device.backend
    settings.kernelParameters = try backend.bitChangingParameters(of: .training(settings.precision))
    settings.trainFiles = zip(files.train, data.files).map {
      DistillationSettings.Input(path: $0, sha256: $1.sha256, rows: $1.pairs)
    }
    if let teacher {
      settings.inputs["teacher"] = try Self.input(teacher.path, rows: teacher.judgements.count)
    }
    if let heldOut {
      settings.inputs["dev"] = DistillationSettings.Input(
        path: heldOut.path, sha256: heldOut.hash, rows: heldOut.pairs.count)
    }
    settings.inputs["model"] = try Self.input(files.initial + "/model.safetensors", rows: 0)
    self.settings = settings
    self.losses = losses
    tokenizerHash = try Self.tokenizerHash(files.initial)
    self.student = student
    self.data = data
    self.heldOut = heldOut
    self.labels = labels
    self.folder = folder
    self.backend = backend
    trainer = StudentTrainer(
      student, settings: losses, dropoutRate: Float(settings.dropout),
      precision: settings.precision, pieceTokens: settings.batchTokens, on: backend)
  }

  private static func checkWithoutTeacher(_ settings: DistillationSettings, _ losses: LossSettings) throws {
    if LossTerm.allCases.contains(where: { $0.needsTeacher && losses.counts($0) }) {
      throw RetortError(
        .invalidArgument, "the losses score and reasoning need a teacher", field: "teacher",
        remedy: "Give --teacher records of 'retort label', or --losses hard.")
    }
    if settings.calibratesTeacher {
      throw RetortError(
        .invalidArgument, "there is no teacher to calibrate", field: "calibrate-teacher",
        remedy: "Give --teacher records of 'retort label'.")
    }
  }

  private static func input(_ path: String, rows: Int) throws -> DistillationSettings.Input {
    DistillationSettings.Input(path: path, sha256: try SHA256.hash(file: path), rows: rows)
  }

  /// Of the files that texts become tokens by.
  private static func tokenizerHash(_ folder: String) throws -> String {
    let name = ["tokenizer.json", "vocab.txt"].first {
      FileManager.default.fileExists(atPath: folder + "/" + $0)
    }
    return try name.map { try SHA256.hash(file: folder + "/" + $0) } ?? "none"
  }

  /// A model's weight that is no number would show as a loss that is none, far from its cause.
  private static func checkWeights(_ student: any Student, _ folder: String, on backend: any TrainingBackend)
    throws
  {
    for parameter in student.encoder.parameters + student.modelHeads.map(\.parameter)
    where try !backend.sumOfSquares([parameter.value]).isFinite {
      throw RetortError(
        .malformedFile, "a weight is not a finite number", file: folder, field: parameter.name,
        remedy: "The model is damaged; fetch it again.")
    }
  }

  private static func check(
    _ tokenizer: WordPieceTokenizer, _ source: EncoderSource, _ settings: DistillationSettings
  ) throws {
    let c = source.configuration
    guard tokenizer.vocabularySize <= c.vocabularySize else {
      throw RetortError(
        .malformedFile, "the tokenizer has \(tokenizer.vocabularySize) tokens, the model \(c.vocabularySize)",
        file: source.folder, field: "vocab_size", remedy: "Use the tokenizer that belongs to the model.")
    }
    guard settings.maximumLength >= 5, settings.maximumLength <= c.longestInput else {
      throw RetortError(
        .invalidArgument, "texts of \(settings.maximumLength) tokens", field: "max-length",
        remedy: "Give a length from 5 to the model's \(c.longestInput).")
    }
  }

  /// Optimiser steps of the whole run.
  public var totalSteps: Int { settings.epochs * ((data.rows.count + settings.batch - 1) / settings.batch) }

  /// Trains, or goes on where an interrupted run was left.
  ///
  /// - Throws: what ``Trainer`` throws.
  public func train(
    resumes: Bool, checkpointSeconds: Double?, progress: (TrainingProgress) -> Void,
    shouldStop: () -> Bool, warn: (String) -> Void = { _ in }
  ) throws -> TrainingResult {
    var options = TrainingOptions(folder: folder)
    options.resumes = resumes
    options.epochs = settings.epochs
    options.batchRows = settings.batch
    options.seed = settings.seed
    options.optimizer.learningRate = settings.learningRate
    options.optimizer.weightDecay = settings.weightDecay
    options.optimizer.largestNorm = settings.clip > 0 ? settings.clip : nil
    options.schedule = settings.schedule
    options.warmUp = settings.warmUp
    options.evaluation =
      heldOut == nil ? .never : settings.evaluateEvery.map { .every(steps: $0) } ?? .everyEpoch
    options.patience = settings.patience
    options.checkpointSeconds = checkpointSeconds
    options.settings = try bound()
    let task = DistillationTask(
      trainer, rows: data.rows, heldOut: heldOut, watched: Metric(rawValue: settings.watch) ?? .auc)
    // With the first step: a run that is refused must leave the settings of the one that the folder holds.
    var isWritten = false
    var failure: (any Error)?
    let result = try Trainer.run(task, options, on: backend) { step in
      if !isWritten {
        isWritten = true
        do { try AtomicText.write(json: settings, to: folder + "/" + DistillationSettings.fileName) } catch {
          failure = error
        }
      }
      progress(step)
    } shouldStop: {
      failure != nil || shouldStop()
    } warn: {
      warn($0)
    }
    if let failure { throw failure }
    return result
  }

  /// What the numbers depend on beside the trainer's own options.
  func bound() throws -> [String: String] {
    var facts = [
      "student": settings.student.rawValue, "losses": settings.losses.sorted().joined(separator: ","),
      "weights": LossTerm.allCases.map { "\(trainer.settings.weight($0))" }.joined(separator: ","),
      "temperature": "\(settings.temperature)", "calibrate_teacher": "\(settings.calibratesTeacher)",
      "max_length": "\(settings.maximumLength)",
      "batch_tokens": "\(settings.batchTokens)", "dropout": "\(settings.dropout)",
      "layer_decay": "\(settings.layerDecay)", "slot_width": "\(settings.slotWidth)",
      "compute": settings.compute, "backend": settings.backend, "watch": settings.watch,
      "aspects": settings.aspects.joined(separator: ","),
      "labels": labels.labels.map { "\($0.name)=\($0.gain)" }.joined(separator: ","),
      "tokenizer": tokenizerHash, "train": data.files.map(\.sha256).joined(separator: ","),
      "limit": settings.limit.map { "\($0)" } ?? "none",
    ]
    facts[TrainingOptions.kernelParameters] = settings.kernelParameters
    for (name, input) in settings.inputs { facts[name] = input.sha256 }
    return facts
  }

  /// Predicts the held-out pairs, evaluates them, and writes the student's folder; the last file is `retort.json`.
  ///
  /// - Throws: what evaluating and writing throw.
  public func finish(_ bootstrap: QueryBootstrap, progress: (Int) -> Void = { _ in }) throws
    -> EvaluationReport<Evaluation>?
  {
    var report: EvaluationReport<Evaluation>?
    if let heldOut {
      let path = folder + "/" + Self.predictionsFileName
      let predictions = try trainer.predict(heldOut.rows, progress: progress)
      let records = try heldOut.records(
        predictions, shape: student.shape, verdicts: trainer.settings.counts(.reasoning))
      try AtomicText.write(records.map { $0.json + "\n" }.joined(), to: path)
      var job = EvaluationJob(input: heldOut.path, labels: labels, bootstrap: bootstrap)
      job.train = settings.trainFiles.map(\.path)
      // Named as it lies beside the report, so that equal runs in two folders are equal bytes.
      report = try job.evaluate(path, named: Self.predictionsFileName).report
      try AtomicText.write(json: report, to: folder + "/evaluation.json")
    }
    let folderWriter = StudentFolder(
      student, source: source, baseModel: settings.baseModel, maximumLength: settings.maximumLength,
      on: backend)
    try folderWriter.write(to: folder, card: ModelCard.text(settings, data.counts, labels, report))
    return report
  }
}
