import Basics
import Foundation
import Tensors

/// A folder from which training goes on as if it had never stopped: weights, moments and ``TrainingState``.
///
/// The weights' file is an ordinary safetensors file with the parameters' names. `checksums.json`, written last, has
/// the CRC-32 of every other file; nothing is taken from a file that differs from it.
public struct TrainingCheckpoint: Sendable {
  public let path: String
  public let state: TrainingState

  private static let weights = "weights.safetensors"
  private static let firstMoments = "first-moments.safetensors"
  private static let secondMoments = "second-moments.safetensors"
  private static let tensorFiles = [weights, firstMoments, secondMoments]
  private static let stateFile = "state.json"
  private static let checksumFile = "checksums.json"
  private let checksums: [String: String]

  /// Reads the state; the tensors stay on disk until they are asked for.
  ///
  /// - Throws: `fileUnavailable`; `malformedFile` or `unsupported`, naming the file and what to do.
  init(path: String) throws {
    self.path = path
    checksums = try TrainingCheckpoint.explaining { try TrainingCheckpoint.readChecksums(path) }
    try TrainingCheckpoint.verify([TrainingCheckpoint.stateFile], of: path, checksums)
    state = try TrainingCheckpoint.explaining {
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
    func write(_ value: some Encodable, _ name: String) throws {
      let file = try AtomicFile(path: path + "/" + name)
      try file.write(String(decoding: try encoder.encode(value), as: UTF8.self) + "\n")
      try file.commit()
    }
    try write(state, stateFile)
    var checksums: [String: String] = [:]
    for name in tensorFiles + [stateFile] { checksums[name] = try CRC32.text(file: path + "/" + name) }
    try write(checksums, checksumFile)
  }

  private static func readChecksums(_ path: String) throws -> [String: String] {
    let file = path + "/" + checksumFile
    let data = try Data(copying: MappedFile(path: file))
    guard let checksums = try? JSONDecoder().decode([String: String].self, from: data) else {
      throw RetortError(.malformedFile, "not an object of checksums", file: file, remedy: "")
    }
    return checksums
  }

  /// Reads all that resuming would read.
  ///
  /// - Throws: `malformedFile` naming a file whose contents are not those that were written; `fileUnavailable`.
  func verify() throws {
    try TrainingCheckpoint.verify(TrainingCheckpoint.tensorFiles, of: path, checksums)
  }

  private static func verify(_ names: [String], of path: String, _ checksums: [String: String]) throws {
    try explaining {
      for name in names {
        let found = try CRC32.text(file: path + "/" + name)
        guard found != checksums[name] else { continue }
        throw RetortError(
          .malformedFile,
          "the contents are not those that were written: their CRC-32 is \(found), not "
            + (checksums[name] ?? "known"), file: path + "/" + name, remedy: "")
      }
    }
  }

  /// Throws `malformedFile` where the state's counts are none that a run with these batches an epoch comes by.
  func check(batches: Int, totalSteps: Int) throws {
    guard (1...totalSteps).contains(state.step), state.epochsDone == state.step / batches,
      state.batchesDone == state.step % batches, (0...state.step).contains(state.evaluationsSinceBest)
    else {
      try TrainingCheckpoint.explaining {
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
    try TrainingCheckpoint.verify([TrainingCheckpoint.weights], of: path, checksums)
    try TrainingCheckpoint.explaining {
      try TensorFile(path: path + "/" + TrainingCheckpoint.weights, optimizer.weights)
        .restore(on: optimizer.backend)
    }
  }

  /// Overwrites the optimiser's parameters, moments and step.
  ///
  /// - Throws: as ``restoreWeights(of:)``.
  func restore(_ optimizer: Optimizer) throws {
    try verify()
    try TrainingCheckpoint.explaining {
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
  private static func explaining<Result>(_ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let error as RetortError
      where [.malformedFile, .unsupported, .fileUnavailable].contains(error.code)
    {
      throw RetortError(
        error.code, error.message, file: error.file, field: error.field, position: error.position,
        remedy: "The checkpoint is damaged: put it back from a copy, or begin the run anew in another folder."
      )
    }
  }
}

extension Optimizer {
  var weights: [TensorFile.Named] { named(parameters.map(\.value)) }

  func named(_ tensors: [Tensor]) -> [TensorFile.Named] {
    zip(parameters, tensors).map { ($0.name, $1) }
  }
}
