import Basics
import Relevance

/// The fields of a JSON object of a run, read with errors that name file, field and line.
struct RunFields {
  let fields: [String: JSONValue]
  let file: String
  var line: Int?

  subscript(name: String) -> JSONValue? {
    // A hyphen or an underline is all one, as in an option's name.
    fields[name] ?? fields[name.replacing("_", with: "-")]
  }

  /// The text, or nil where it is absent or null.
  func text(_ name: String) throws -> String? {
    switch self[name] {
    case nil, .null: nil
    case .string(let text), .number(let text): text
    default: throw problem("expected a string", name)
    }
  }

  /// The number; nil where it is absent, null or too large for a Double, as a loss that was not finite.
  func number(_ name: String) throws -> Double? {
    switch self[name] {
    case nil, .null: nil
    case .number(let digits): RunFields.finite(digits)
    default: throw problem("expected a number", name)
    }
  }

  func object(_ name: String) throws -> RunFields? {
    switch self[name] {
    case nil, .null: nil
    case .object(let fields): RunFields(fields: fields, file: file, line: line)
    default: throw problem("expected an object", name)
    }
  }

  static func finite(_ digits: String) -> Double? { Double(digits).flatMap { $0.isFinite ? $0 : nil } }

  func problem(_ message: String, _ field: String) -> RetortError {
    RetortError(
      .malformedFile, message, file: file, field: field, position: line.map { "line \($0)" },
      remedy: "Pass a folder as 'retort distill' writes it, or train the run again.")
  }
}

/// JSON files of a run.
enum RunJSON {
  /// Files of a run that stand for one object are small; more than this is a wrong file.
  static let maximumBytes = 1 << 26

  /// The one object of a file.
  ///
  /// - Throws: `fileUnavailable`; `malformedFile` with the byte.
  static func object(path: String) throws -> RunFields {
    let file = try MappedFile(path: path)
    guard file.bytes.count <= maximumBytes else {
      throw RetortError(
        .malformedFile, "the file has \(file.bytes.count) bytes, more than a run's file can have", file: path,
        remedy: "Pass a folder as 'retort distill' writes it.")
    }
    return RunFields(fields: try parse(Array(file.bytes), path, line: nil), file: path)
  }

  /// The objects of a file of lines, blank lines left out.
  ///
  /// A last line without its line break is what a run that is going on or was killed leaves: where it is no JSON it
  /// is passed over.
  ///
  /// - Throws: `fileUnavailable`; `malformedFile` with the line.
  static func lines(path: String, _ body: (RunFields) throws -> Void) throws {
    let file = try MappedFile(path: path)
    var number = 0
    var start = 0
    while start < file.bytes.count {
      number += 1
      let rest = UnsafeRawBufferPointer(rebasing: file.bytes[start...])
      let length = rest.firstIndex(of: UInt8(ascii: "\n"))
      let line = Array(rest[..<(length ?? rest.count)])
      start += line.count + 1
      if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
      do {
        try body(RunFields(fields: try parse(line, path, line: number), file: path, line: number))
      } catch let error as RetortError {
        guard length == nil, error.field == nil else { throw error }
      }
    }
  }

  private static func parse(_ bytes: [UInt8], _ path: String, line: Int?) throws -> [String: JSONValue] {
    let remedy = "Pass a folder as 'retort distill' writes it, or train the run again."
    do {
      guard case .object(let fields) = try JSONValue.parse(bytes) else {
        throw RetortError(
          .malformedFile, "expected a JSON object", file: path, position: line.map { "line \($0)" },
          remedy: remedy)
      }
      return fields
    } catch is JSONProblem {
      throw RetortError(
        .malformedFile, "not valid JSON", file: path, position: line.map { "line \($0)" }, remedy: remedy)
    }
  }
}
