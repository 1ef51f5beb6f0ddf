import Basics

/// CSV and TSV with a header: quotes as in RFC 4180, which may hold separators and line breaks.
///
/// A quote inside an unquoted field is taken as it is, for titles say `24" monitor`. A quote that is never closed
/// costs one row, not the rest of the file: where a row of several lines fails, its first line is reported and the
/// others are read again as rows of one line.
struct DelimitedReader: RecordReader {
  private typealias Row = (line: Int, fields: Result<[[UInt8]], RetortError>)

  let stream: ByteStream
  let separator: UInt8
  let maximumBytes: Int
  private(set) var columns: [String] = []
  /// Rows that start before this position are of one line.
  private var singleLinesEnd = 0

  /// Reads the header.
  ///
  /// - Throws: `malformedFile` where it is unreadable, lacks `query` or `title`, or names a column twice.
  init(stream: ByteStream, separator: UInt8, maximumBytes: Int) throws {
    self.stream = stream
    self.separator = separator
    self.maximumBytes = maximumBytes
    guard let header = try row() else { throw headerProblem("the file is empty", line: 1, field: nil) }
    switch header.fields {
    case .failure(let error): throw headerProblem(error.message, line: header.line, field: nil)
    case .success(let fields): columns = try names(fields, line: header.line)
    }
  }

  mutating func next() throws -> (line: Int, fields: Result<[String: JSONValue], RetortError>)? {
    guard let row = try row() else { return nil }
    return (row.line, row.fields.flatMap(assigned))
  }

  private func names(_ fields: [[UInt8]], line: Int) throws -> [String] {
    var names: [String] = []
    for field in fields {
      guard let text = String(validating: field, as: UTF8.self) else {
        throw headerProblem("the header is not valid UTF-8", line: line, field: nil)
      }
      let name = text.trimmedWhitespace.lowercased()
      guard name.isEmpty || !names.contains(name) else {
        throw headerProblem("the column is named twice", line: line, field: name)
      }
      names.append(name)
    }
    for required in ["query", "title"] where !names.contains(required) {
      throw headerProblem("the column is missing", line: line, field: required)
    }
    return names
  }

  private func headerProblem(_ message: String, line: Int, field: String?) -> RetortError {
    RetortError(
      .malformedFile, message, file: stream.path, field: field, position: "line \(line)",
      remedy: "Start the file with a header that names the columns query and title, each once.")
  }

  private func assigned(_ fields: [[UInt8]]) -> Result<[String: JSONValue], RetortError> {
    guard fields.count == columns.count else {
      return .failure(
        RetortError(
          .malformedRow, "the header has \(columns.count) columns, the row has \(fields.count)",
          remedy: "Give every row as many fields as the header; quote a text that holds the separator."))
    }
    var result: [String: JSONValue] = [:]
    for (name, field) in zip(columns, fields) where !name.isEmpty {
      guard let text = String(validating: field, as: UTF8.self) else { return .failure(RowProblem.notUTF8) }
      result[name] = .string(text)
    }
    return .success(result)
  }

  /// The next row that is not blank.
  private mutating func row() throws -> Row? {
    while try stream.peek() != nil {
      let line = stream.line
      var scan = DelimitedScan(
        separator: separator, maximumBytes: maximumBytes,
        isSingleLine: stream.position < singleLinesEnd)
      while let byte = try stream.read() {
        if scan.accept(byte, next: try stream.peek()) { break }
      }
      if scan.isBlank { continue }
      let fields = scan.finish()
      if case .failure = fields, let rest = scan.linesAfterFirst {
        singleLinesEnd = stream.position
        stream.unread(rest, line: line + 1)
      }
      return (line, fields)
    }
    return nil
  }
}

/// The state machine that takes one row apart, byte by byte.
private struct DelimitedScan {
  private enum State {
    case fieldStart, plain, quoted, quoteInQuoted, afterQuoted
  }

  let separator: UInt8
  let maximumBytes: Int
  /// Whether a line break ends the row also inside quotes.
  let isSingleLine: Bool
  /// The bytes taken, up to the limit.
  private var raw: [UInt8] = []
  private var firstLineEnd: Int?
  private var fields: [[UInt8]] = []
  private var field: [UInt8] = []
  private var state = State.fieldStart
  private var isTooLong = false
  private var sawQuote = false
  private var hasTextAfterQuote = false

  init(separator: UInt8, maximumBytes: Int, isSingleLine: Bool) {
    self.separator = separator
    self.maximumBytes = maximumBytes
    self.isSingleLine = isSingleLine
  }

  /// What was read after the first line, or nil where the row has one line.
  var linesAfterFirst: ArraySlice<UInt8>? {
    guard let firstLineEnd, firstLineEnd < raw.count else { return nil }
    return raw[firstLineEnd...]
  }

  /// One field of white space without quotes.
  var isBlank: Bool {
    fields.isEmpty && !sawQuote && !isTooLong && field.allSatisfy { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }
  }

  /// Takes a byte; true where it ends the row.
  mutating func accept(_ byte: UInt8, next: UInt8?) -> Bool {
    // Past the limit a row of one line ends with it; of several lines the rest is read again.
    if isTooLong { return byte == UInt8(ascii: "\n") }
    raw.append(byte)
    if byte == UInt8(ascii: "\n"), firstLineEnd == nil { firstLineEnd = raw.count }
    if raw.count > maximumBytes {
      isTooLong = true
      return firstLineEnd != nil
    }
    if state == .quoted {
      if isSingleLine, byte == UInt8(ascii: "\n") { return true }
      if byte == UInt8(ascii: "\"") { state = .quoteInQuoted } else { field.append(byte) }
      return false
    }
    if state == .quoteInQuoted {
      if byte == UInt8(ascii: "\"") {
        field.append(byte)
        state = .quoted
        return false
      }
      state = .afterQuoted
    }
    switch byte {
    case separator:
      endField()
    case UInt8(ascii: "\n"):
      return true
    case UInt8(ascii: "\r") where next == UInt8(ascii: "\n"):
      break
    case UInt8(ascii: "\"") where state == .fieldStart:
      state = .quoted
      sawQuote = true
    default:
      if state == .afterQuoted { hasTextAfterQuote = true }
      if state == .fieldStart { state = .plain }
      field.append(byte)
    }
    return false
  }

  private mutating func endField() {
    fields.append(field)
    field = []
    state = .fieldStart
  }

  /// The row's fields, or what is wrong with it.
  mutating func finish() -> Result<[[UInt8]], RetortError> {
    if isTooLong { return .failure(RowProblem.tooLong(maximumBytes)) }
    if state == .quoted {
      return .failure(
        RetortError(
          .malformedRow, "a quoted field that starts in this row is never closed",
          remedy: "Close the quote, or double a quote that belongs to the text."))
    }
    if hasTextAfterQuote {
      return .failure(
        RetortError(
          .malformedRow, "there is text after a closing quote",
          remedy: "Double a quote that belongs to the text."))
    }
    endField()
    return .success(fields)
  }
}
