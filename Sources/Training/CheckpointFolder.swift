import Basics
import Foundation

/// A run's folder with its checkpoints, `checkpoint-<step>`, which one process at a time may train in.
///
/// A checkpoint is written and removed under a temporary name, so one with its final name is complete.
final class CheckpointFolder {
  let path: String
  /// Held open for the lock on it, which the system gives back however the process ends.
  private let descriptor: Int32

  private static let prefix = "checkpoint-"
  private static let temporaryPrefix = ".checkpoint-"

  /// Makes the folder where there is none, and removes what a killed run left half written.
  ///
  /// - Throws: `fileUnavailable`; `jobConflict` where another process trains in the folder.
  init(path: String) throws {
    self.path = path
    try Folder.make(path)
    descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw RetortError(
        .fileUnavailable, "cannot open the folder: \(String(cString: strerror(errno)))", file: path,
        remedy: "Choose a folder that you may write to.")
    }
    // Every property is set, so `deinit` closes the folder also where this throws; closing it here too would close
    // what another thread has opened meanwhile.
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      throw RetortError(
        .jobConflict, "the run is going on already", file: path,
        remedy: "Wait for it, stop it, or give this run another folder.")
    }
    for name in try names() where name.hasPrefix(CheckpointFolder.temporaryPrefix) {
      try CheckpointFolder.delete(path + "/" + name)
    }
  }

  deinit { close(descriptor) }

  /// The steps that there are checkpoints of, ascending.
  func steps() throws -> [Int] {
    try names().compactMap { name in
      guard name.hasPrefix(CheckpointFolder.prefix) else { return nil }
      return Int(name.dropFirst(CheckpointFolder.prefix.count)).flatMap { $0 >= 0 ? $0 : nil }
    }.sorted()
  }

  /// The checkpoint of a step.
  ///
  /// - Throws: what ``TrainingCheckpoint/init(path:)`` throws; `malformedFile` where it is of another step.
  func checkpoint(step: Int) throws -> TrainingCheckpoint {
    let checkpoint = try TrainingCheckpoint(path: place(step))
    guard checkpoint.state.step == step else {
      throw RetortError(
        .malformedFile, "the checkpoint is of step \(checkpoint.state.step)", file: checkpoint.path,
        remedy: "Give the folder back the name that it was written under.")
    }
    return checkpoint
  }

  /// Writes a checkpoint, then removes all but the last two and the best, as each of the two knows it: where the
  /// last is lost, the one before it is enough to go on from.
  func save(_ state: TrainingState, _ optimizer: Optimizer) throws {
    let temporary = self.temporary(state.step)
    do {
      try TrainingCheckpoint.write(state, optimizer, to: temporary)
      try synchronize(temporary)
      guard rename(temporary, place(state.step)) == 0 else {
        throw CheckpointFolder.writeFailure(place(state.step))
      }
      try synchronize(path)
    } catch {
      try? FileManager.default.removeItem(atPath: temporary)
      throw error
    }
    let steps = try steps()
    let last = steps.suffix(2)
    let best = last.compactMap { try? checkpoint(step: $0).state.best?.step }
    for step in steps where !last.contains(step) && !best.contains(step) { try remove(step) }
  }

  /// Gives a damaged checkpoint a name that no run takes up, and returns it.
  func setAside(step: Int) throws -> String {
    let name = "damaged-\(CheckpointFolder.prefix)\(step)"
    let taken = Set(try names())
    let free =
      ([name] + (2...(taken.count + 2)).map { "\(name)-\($0)" }).first { !taken.contains($0) } ?? name
    guard rename(place(step), path + "/" + free) == 0 else {
      throw CheckpointFolder.writeFailure(place(step))
    }
    return free
  }

  private func remove(_ step: Int) throws {
    guard rename(place(step), temporary(step)) == 0 else { throw CheckpointFolder.writeFailure(place(step)) }
    try CheckpointFolder.delete(temporary(step))
  }

  private func names() throws -> [String] {
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: path) else {
      throw RetortError(
        .fileUnavailable, "cannot list the folder", file: path,
        remedy: "Check that you may read and write the folder.")
    }
    return names
  }

  private static func delete(_ path: String) throws {
    do {
      try FileManager.default.removeItem(atPath: path)
    } catch {
      throw RetortError(
        .fileUnavailable, "cannot remove an old checkpoint: \(error.localizedDescription)", file: path,
        remedy: "Check that you may write to the folder, then resume the run.")
    }
  }

  private func place(_ step: Int) -> String { "\(path)/\(CheckpointFolder.prefix)\(step)" }

  private func temporary(_ step: Int) -> String { "\(path)/\(CheckpointFolder.temporaryPrefix)\(step)" }

  /// Makes names in a folder safe against a loss of power.
  private func synchronize(_ folder: String) throws {
    let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw CheckpointFolder.writeFailure(folder) }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw CheckpointFolder.writeFailure(folder) }
  }

  static func writeFailure(_ path: String) -> RetortError {
    RetortError(
      .writeFailed, "cannot write the checkpoint: \(String(cString: strerror(errno)))", file: path,
      remedy: "Free some space, then resume the run.")
  }
}
