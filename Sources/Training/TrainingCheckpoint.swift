import Basics
import Foundation
import Tensors

/// A folder from which training goes on as if it had never stopped: weights, moments and ``TrainingState``.
///
/// The weights' file is an ordinary safetensors file with the parameters' names.
public struct TrainingCheckpoint: Sendable {
  public let path: String
  public let state: TrainingState

  private static let weights = "weights.safetensors"
  private static let firstMoments = "first-moments.safetensors"
  private static let secondMoments = "second-moments.safetensors"
  private static let stateFile = "state.json"

  /// Reads the state; the tensors stay on disk until they are asked for.
  ///
  /// - Throws: `fileUnavailable`; `malformedFile` or `unsupported`, naming the file and what to do.
  init(path: String) throws {
    self.path = path
    state = try TrainingCheckpoint.explaining(path) {
      let file = path + "/" + TrainingCheckpoint.stateFile
      let data = try Data(copying: MappedFile(path: file))
      let state: TrainingState
      do {
        state = try JSONDecoder().decode(TrainingState.self, from: data)
      } catch {
        throw RetortError(.malformedFile, "the state cannot be read: \(error)", file: file, remedy: "")
      }
      guard state.format == TrainingState.currentFormat else {
        throw RetortError(.unsupported, "a checkpoint of format \(state.format)", file: file, remedy: "")
      }
      return state
    }
  }

  /// Writes a whole checkpoint to a folder that does not exist yet.
  static func write(_ state: TrainingState, _ optimizer: Optimizer, to path: String) throws {
    guard mkdir(path, 0o755) == 0 else { throw CheckpointFolder.writeFailure(path) }
    try TensorFile.write(optimizer.weights, to: path + "/" + weights, from: optimizer.backend)
    try TensorFile.write(
      optimizer.named(optimizer.firstMoments), to: path + "/" + firstMoments, from: optimizer.backend)
    try TensorFile.write(
      optimizer.named(optimizer.secondMoments), to: path + "/" + secondMoments, from: optimizer.backend)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let file = try AtomicFile(path: path + "/" + stateFile)
    try file.write(String(decoding: try encoder.encode(state), as: UTF8.self) + "\n")
    try file.commit()
  }

  /// Throws `malformedFile` where the state's counts are none that a run with these batches an epoch comes by.
  func check(batches: Int, totalSteps: Int) throws {
    guard (1...totalSteps).contains(state.step), state.epochsDone == state.step / batches,
      state.batchesDone == state.step % batches, (0...state.step).contains(state.evaluationsSinceBest)
    else {
      try TrainingCheckpoint.explaining(path) {
        throw RetortError(
          .malformedFile, "the state's counts do not fit each other",
          file: path + "/" + TrainingCheckpoint.stateFile, remedy: "")
      }
      return
    }
  }

  /// Overwrites the optimiser's parameters, and nothing else.
  ///
  /// - Throws: `malformedFile` or `jobConflict`, naming file and tensor, with nothing overwritten.
  func restoreWeights(of optimizer: Optimizer) throws {
    try TrainingCheckpoint.explaining(path) {
      try TensorFile(path: path + "/" + TrainingCheckpoint.weights, optimizer.weights)
        .restore(on: optimizer.backend)
    }
  }

  /// Overwrites the optimiser's parameters, moments and step.
  ///
  /// - Throws: as ``restoreWeights(of:)``.
  func restore(_ optimizer: Optimizer) throws {
    try TrainingCheckpoint.explaining(path) {
      let files = [
        try TensorFile(path: path + "/" + TrainingCheckpoint.weights, optimizer.weights),
        try TensorFile(
          path: path + "/" + TrainingCheckpoint.firstMoments, optimizer.named(optimizer.firstMoments)),
        try TensorFile(
          path: path + "/" + TrainingCheckpoint.secondMoments, optimizer.named(optimizer.secondMoments)),
      ]
      for file in files { try file.restore(on: optimizer.backend) }
    }
    optimizer.step = state.step
  }

  /// Errors of a damaged checkpoint, with the remedy that fits one.
  private static func explaining<Result>(_ path: String, _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let error as RetortError
      where [.malformedFile, .unsupported, .fileUnavailable].contains(error.code)
    {
      throw RetortError(
        error.code, error.message, file: error.file, field: error.field, position: error.position,
        remedy: "The checkpoint is damaged: remove the folder \(path) to go on from the one before it.")
    }
  }
}

extension Optimizer {
  var weights: [TensorFile.Named] { named(parameters.map(\.value)) }

  func named(_ tensors: [Tensor]) -> [TensorFile.Named] {
    zip(parameters, tensors).map { ($0.name, $1) }
  }
}
