import Basics

/// A source of raw rows: each is the fields of a row or what is wrong with it.
protocol RecordReader {
  /// The next row that is not blank, or nil at the end; throws only where the file itself cannot be read on.
  mutating func next() throws -> (line: Int, fields: Result<[String: JSONValue], RetortError>)?
}

enum RowProblem {
  static func tooLong(_ limit: Int) -> RetortError {
    RetortError(
      .malformedRow, "the row is longer than \(limit) bytes", remedy: "Shorten its texts or split the row.")
  }

  static let notUTF8 = RetortError(
    .malformedRow, "the row is not valid UTF-8", remedy: "Convert the file to UTF-8.")
}

/// JSON Lines: an object a line.
struct JSONLinesReader: RecordReader {
  let stream: ByteStream
  let maximumBytes: Int

  mutating func next() throws -> (line: Int, fields: Result<[String: JSONValue], RetortError>)? {
    while try stream.peek() != nil {
      let line = stream.line
      var bytes: [UInt8] = []
      var isTooLong = false
      while let byte = try stream.read(), byte != UInt8(ascii: "\n") {
        if bytes.count < maximumBytes { bytes.append(byte) } else { isTooLong = true }
      }
      if isTooLong { return (line, .failure(RowProblem.tooLong(maximumBytes))) }
      if bytes.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
      return (line, JSONLinesReader.object(bytes))
    }
    return nil
  }

  private static func object(_ bytes: [UInt8]) -> Result<[String: JSONValue], RetortError> {
    guard String(validating: bytes, as: UTF8.self) != nil else { return .failure(RowProblem.notUTF8) }
    do {
      let value = try JSONValue.parse(bytes)
      if case .object(let fields) = value { return .success(fields) }
      return .failure(
        RetortError(
          .malformedRow, "expected a JSON object, found \(value.kind)",
          remedy: "Write one object a line: {\"query\": …, \"title\": …}."))
    } catch {
      let problem = error as? JSONProblem
      return .failure(
        RetortError(
          .malformedRow,
          "not valid JSON: \(problem?.message ?? "unreadable") at byte \(problem?.offset ?? 0) of the line",
          remedy: "Write one JSON object a line."))
    }
  }
}
