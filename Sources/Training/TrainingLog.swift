import Basics
import Foundation

/// A file of JSON Lines, each with the `step` that it tells of, appended to as a run goes on.
///
/// A line is with the system as soon as it is written, so a killed process loses none.
final class TrainingLog {
  let path: String
  private let descriptor: Int32

  /// Opens the log, cut to the lines of steps up to `step`; what a killed run wrote after that, it writes again.
  ///
  /// - Parameter isComplete: whether every step up to there must have a line with its `loss`.
  /// - Throws: `malformedFile` where one has not; `fileUnavailable` or `writeFailed`.
  init(path: String, upTo step: Int, isComplete: Bool) throws {
    self.path = path
    let (kept, losses) = step > 0 ? try TrainingLog.lines(path, upTo: step) : ("", 0)
    guard losses == step || !isComplete else {
      throw RetortError(
        .malformedFile, "the log tells of \(losses) steps, the checkpoint of \(step)", file: path,
        remedy: "Put the run's own log back, or begin anew in another folder.")
    }
    let file = try AtomicFile(path: path)
    try file.write(kept)
    try file.commit()
    descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
    guard descriptor >= 0 else { throw TrainingLog.unwritable(path) }
  }

  deinit { close(descriptor) }

  /// Appends a line.
  ///
  /// - Throws: `writeFailed` where the disk is full.
  func write(_ line: LogLine) throws {
    var rest = Array((line.text + "}\n").utf8)[...]
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if written < 0 && errno == EINTR { continue }
      guard written > 0 else { throw TrainingLog.unwritable(path) }
      rest = rest.dropFirst(written)
    }
  }

  /// Makes all lines safe against a loss of power.
  func synchronize() throws {
    guard fsync(descriptor) == 0 else { throw TrainingLog.unwritable(path) }
  }

  /// The whole lines up to a step, and how many of them have a loss; a line that is cut short ends them.
  private static func lines(_ path: String, upTo step: Int) throws -> (text: String, losses: Int) {
    struct Line: Decodable {
      let step: Int
      let loss: Double?
    }
    guard FileManager.default.fileExists(atPath: path) else { return ("", 0) }
    let bytes = try Data(copying: MappedFile(path: path))
    let decoder = JSONDecoder()
    var (end, losses) = (0, 0)
    while let length = bytes[end...].firstIndex(of: UInt8(ascii: "\n")) {
      guard let line = try? decoder.decode(Line.self, from: bytes[end..<length]), line.step <= step
      else { break }
      end = length + 1
      losses += line.loss == nil ? 0 : 1
    }
    return (String(decoding: bytes[..<end], as: UTF8.self), losses)
  }

  private static func unwritable(_ path: String) -> RetortError {
    RetortError(
      .writeFailed, "cannot write the log: \(String(cString: strerror(errno)))", file: path,
      remedy: "Free some space, then resume the run.")
  }
}

/// A line of JSON with the keys in the order given; numbers take the shortest text that reads back to the same value.
struct LogLine {
  private(set) var text: String

  init(step: Int) { text = "{\"step\":\(step)" }

  mutating func add(_ key: String, _ value: Int) { text += ",\(JSONText.quoted(key)):\(value)" }

  mutating func add(_ key: String, _ value: Double) {
    text += ",\(JSONText.quoted(key)):\(LogLine.number(value))"
  }

  /// An object, sorted by key.
  mutating func add(_ key: String, _ values: [String: Double]) {
    let members = values.sorted { $0.key < $1.key }.map {
      "\(JSONText.quoted($0.key)):\(LogLine.number($0.value))"
    }
    text += ",\(JSONText.quoted(key)):{\(members.joined(separator: ","))}"
  }

  /// JSON has no word for what is not finite.
  private static func number(_ value: Double) -> String { value.isFinite ? value.description : "null" }
}
