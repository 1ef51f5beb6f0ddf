import Basics
import Foundation

/// The folder where calibrations are kept by name.
public struct CalibrationStore: Sendable {
  public let folder: String

  public init(folder: String) { self.folder = folder }

  /// `retort/calibrations` in `$XDG_CONFIG_HOME`, or in `~/.config` where that is unset or empty.
  public static var standard: CalibrationStore {
    let base = ProcessInfo.processInfo.environment["XDG_CONFIG_HOME"].flatMap { $0.isEmpty ? nil : $0 }
    return CalibrationStore(folder: (base ?? NSHomeDirectory() + "/.config") + "/retort/calibrations")
  }

  /// Names in order.
  public var names: [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [])
      .filter { $0.hasSuffix(".json") }.map { String($0.dropLast(5)) }
      .filter { (try? CalibrationStore.check($0)) != nil }.sorted()
  }

  /// The file of a name; a name with a slash is a path itself.
  ///
  /// - Throws: `invalidArgument` where it is neither a path nor a name of letters, digits, `-`, `_` and `.`.
  public func path(_ name: String) throws -> String {
    if name.contains("/") { return name }
    try CalibrationStore.check(name)
    return folder + "/" + name + ".json"
  }

  private static func check(_ name: String) throws {
    let isPlain = name.utf8.allSatisfy {
      (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0 | 0x20)
        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || "-_.".utf8.contains($0)
    }
    guard isPlain, !name.isEmpty, name.utf8.count <= 100, !name.hasPrefix(".") else {
      throw RetortError(
        .invalidArgument, "\"\(name)\" is no name for a calibration", field: "calibration",
        remedy: "Use letters, digits, - and _, or give the path of a file.")
    }
  }

  /// - Throws: `fileUnavailable` naming the calibrations that are there; what reading the file throws.
  public func read(_ name: String) throws -> StoredCalibration {
    let path = try path(name)
    guard FileManager.default.fileExists(atPath: path) else {
      let names = names
      throw RetortError(
        .fileUnavailable, "there is no calibration \"\(name)\"", file: path, field: "calibration",
        remedy: "Fit it with 'retort label --calibrate FILE --calibration NAME'. Fitted: "
          + (names.isEmpty ? "none" : names.joined(separator: ", ")) + ".")
    }
    return try StoredCalibration(path: path)
  }

  /// Puts a calibration under a name, in place of one that has it; all of it or nothing. Returns its path.
  ///
  /// - Throws: `fileUnavailable`, `writeFailed`, or `invalidArgument` for the name.
  @discardableResult
  public func write(_ stored: StoredCalibration, as name: String) throws -> String {
    let path = try path(name)
    if !name.contains("/") {
      do {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      } catch {
        throw RetortError(
          .fileUnavailable, "cannot create the folder of calibrations", file: folder,
          remedy: "Set XDG_CONFIG_HOME to a folder that you may write to, or give a path as the name.")
      }
    }
    let file = try AtomicFile(path: path)
    try file.write(stored.json)
    try file.commit()
    return path
  }
}
