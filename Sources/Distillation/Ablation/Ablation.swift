import Basics
import Foundation
import ModelFormats
import Relevance
import Tensors
import Training

/// Runs a grid of trainings, each in a folder of its own; what is finished stays, what was interrupted goes on.
public final class Ablation {
  /// How a cell came out.
  public enum Outcome: Sendable, Equatable {
    /// The folder held it already.
    case kept
    case trained
    /// The loss was no number any more; the other cells go on.
    case diverged(RetortError)
    /// Asked to stop; the cell has a checkpoint.
    case interrupted
  }

  /// What happens, for a display.
  public enum Event {
    case begins(AblationConfiguration.Cell, number: Int, of: Int)
    /// The cell's data is read; it has so many steps.
    case read(TrainingData.Counts, totalSteps: Int)
    /// The data or a checkpoint has something wrong that the cell can do with.
    case warns(String)
    case progress(TrainingProgress)
    case ends(AblationConfiguration.Cell, Outcome)
  }

  public let configuration: AblationConfiguration
  public let labels: LabelSet
  private let initial: String
  private let backend: any TrainingBackend
  private var hashes: [String: String] = [:]

  /// - Parameter initial: the folder that the configuration's `init` names.
  public init(
    _ configuration: AblationConfiguration, labels: LabelSet, initial: String,
    on backend: any TrainingBackend
  ) {
    self.configuration = configuration
    self.labels = labels
    self.initial = initial
    self.backend = backend
  }

  /// Trains what is not finished.
  ///
  /// - Returns: the outcome of each cell, in order; shorter than the grid where it was interrupted.
  /// - Throws: what ``DistillationRun`` throws, but for divergence; `jobConflict` where a finished folder was made with
  ///   other settings.
  public func run(report: (Event) -> Void = { _ in }, shouldStop: () -> Bool = { false }) throws
    -> [(cell: AblationConfiguration.Cell, outcome: Outcome)]
  {
    let cells = configuration.cells
    // Before hours of training: a folder that the last cell would stumble over.
    let finished = try cells.map { try isFinished($0) }
    if finished.contains(false) { try checkInputs() }
    var outcomes: [(cell: AblationConfiguration.Cell, outcome: Outcome)] = []
    for (index, cell) in cells.enumerated() {
      report(.begins(cell, number: index + 1, of: cells.count))
      let outcome = finished[index] ? .kept : try train(cell, report, shouldStop)
      report(.ends(cell, outcome))
      outcomes.append((cell, outcome))
      if outcome == .interrupted { break }
    }
    return outcomes
  }

  private func train(
    _ cell: AblationConfiguration.Cell, _ report: (Event) -> Void, _ shouldStop: () -> Bool
  ) throws -> Outcome {
    if shouldStop() { return .interrupted }
    do {
      let run = try DistillationRun(
        configuration.settings(cell), labels: labels, files: configuration.files(cell, initial: initial),
        folder: configuration.folder(cell), on: backend)
      for warning in run.warnings { report(.warns(warning)) }
      report(.read(run.data.counts, totalSteps: run.totalSteps))
      let result = try run.train(
        resumes: true, checkpointSeconds: configuration.checkpointSeconds,
        progress: { report(.progress($0)) }, shouldStop: shouldStop, warn: { report(.warns($0)) })
      if result.outcome == .interrupted { return .interrupted }
      _ = try run.finish(QueryBootstrap(resamples: configuration.resamples, seed: 0))
      return .trained
    } catch let error as RetortError where error.code == .diverged {
      return .diverged(error)
    }
  }

  /// Reads what only later cells and the table need.
  private func checkInputs() throws {
    if let teacher = configuration.teacher,
      configuration.losses.contains(where: AblationConfiguration.needsTeacher)
    {
      _ = try TeacherFile(path: teacher, labels: labels)
    }
    guard let path = configuration.teacherDev else { return }
    var job = EvaluationJob(
      input: configuration.dev, labels: labels, bootstrap: try QueryBootstrap(resamples: 0, seed: 0))
    job.gaps = .counted
    _ = try job.evaluate(path)
  }

  /// Whether the cell's folder holds the student that it would train.
  ///
  /// - Throws: `jobConflict` where it holds another one.
  private func isFinished(_ cell: AblationConfiguration.Cell) throws -> Bool {
    let folder = configuration.folder(cell)
    guard let description = try StudentDescription.find(folder: folder) else { return false }
    var differences: [String] = []
    if description.labels != labels.labels.map({ StudentDescription.Grade(name: $0.name, gain: $0.gain) }) {
      differences.append("labels")
    }
    let settings = folder + "/" + DistillationSettings.fileName
    differences += try DistillationSettings.differences(
      DistillationSettings(path: settings), expected(cell))
    guard differences.isEmpty else {
      throw RetortError(
        .jobConflict, "the student was trained with other settings: \(differences.joined(separator: ", "))",
        file: settings, remedy: "Remove the folder to train it again, or give the grid another output.")
    }
    return true
  }

  /// The settings that the cell's run would write, without what only reading the data tells.
  private func expected(_ cell: AblationConfiguration.Cell) throws -> DistillationSettings {
    let files = configuration.files(cell, initial: initial)
    var settings = configuration.settings(cell)
    settings.backend = backend.device.backend
    settings.kernelParameters = try backend.bitChangingParameters(of: .training(settings.precision))
    func input(_ path: String) throws -> DistillationSettings.Input {
      let hash = try hashes[path] ?? SHA256.hash(file: path)
      hashes[path] = hash
      return DistillationSettings.Input(path: path, sha256: hash, rows: 0)
    }
    settings.trainFiles = try files.train.map(input)
    settings.inputs["teacher"] = try files.teacher.map(input)
    settings.inputs["dev"] = try files.dev.map(input)
    settings.inputs["model"] = try input(files.initial + "/model.safetensors")
    return settings
  }
}

extension DistillationSettings {
  static let fileName = "settings.json"

  /// Reads a run's `settings.json`.
  ///
  /// - Throws: `fileUnavailable` or `malformedFile`.
  public init(path: String) throws {
    let file = try MappedFile(path: path)
    do {
      self = try JSONDecoder().decode(
        DistillationSettings.self, from: withExtendedLifetime(file) { Data(file.bytes) })
    } catch {
      throw RetortError(
        .malformedFile, "not a run's settings: \(error)", file: path,
        remedy: "Remove the folder to train it again.")
    }
  }

  /// Keys that two runs' settings differ in, as far as numbers depend on them: files count by their content.
  static func differences(_ first: DistillationSettings, _ second: DistillationSettings) throws -> [String] {
    let (a, b) = (try first.comparable(), try second.comparable())
    return Set(a.keys).union(b.keys).filter { a[$0] != b[$0] }.sorted()
  }

  private func comparable() throws -> [String: JSONValue] {
    func content(_ input: Input) -> Input { Input(path: "", sha256: input.sha256, rows: 0) }
    var copy = self
    copy.aspects = []
    copy.teacherCalibration = nil
    copy.baseModel = ""
    copy.inputs = inputs.mapValues(content)
    copy.trainFiles = trainFiles.map(content)
    copy.losses.sort()
    copy.weights = Dictionary(
      uniqueKeysWithValues: LossTerm.allCases.map { term in
        (term.rawValue, weights[term.rawValue] ?? LossSettings.defaultWeights[term] ?? 0)
      })
    guard case .object(let values) = try JSONValue.parse(Array(JSONEncoder().encode(copy))) else {
      return [:]
    }
    return values
  }
}
