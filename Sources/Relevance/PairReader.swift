import Basics

/// How a file of pairs is laid out.
public enum PairFormat: String, Sendable, CaseIterable {
  case jsonLines = "jsonl"
  case csv, tsv

  /// The format that a file name's extension stands for.
  public init?(path: String) {
    let name = path.split(separator: "/").last ?? ""
    guard let dot = name.lastIndex(of: ".") else { return nil }
    switch name[name.index(after: dot)...].lowercased() {
    case "jsonl", "ndjson": self = .jsonLines
    case "csv": self = .csv
    case "tsv", "tab": self = .tsv
    default: return nil
    }
  }
}

/// Reads query–item pairs from JSON Lines, CSV or TSV, a row at a time.
///
/// Memory stays flat: a chunk of the file, one row, and a hash of each pair id seen (``IDIndex``). Blank lines are skipped.
public final class PairReader {
  /// A row of the input: a pair with the line it starts on, or what is wrong with it.
  public enum Row: Sendable, Equatable {
    case pair(Pair, line: Int)
    case error(RowError)
  }

  public let path: String
  public let format: PairFormat
  private let stream: ByteStream
  private var records: any RecordReader
  private var rows = 0
  private var seen = IDIndex()

  /// Opens a file; without `format` the extension decides.
  ///
  /// - Throws: `fileUnavailable`; `invalidArgument` where the extension says nothing; `malformedFile` where a
  ///   CSV or TSV header lacks `query` or `title`.
  public init(path: String, format: PairFormat? = nil, maximumRowBytes: Int = 1 << 20) throws {
    guard let format = format ?? PairFormat(path: path) else {
      throw RetortError(
        .invalidArgument, "the file's extension does not tell its format", file: path,
        remedy: "Name it .jsonl, .csv or .tsv.")
    }
    self.path = path
    self.format = format
    stream = try ByteStream(path: path)
    switch format {
    case .jsonLines: records = JSONLinesReader(stream: stream, maximumBytes: maximumRowBytes)
    case .csv:
      records = try DelimitedReader(
        stream: stream, separator: UInt8(ascii: ","), maximumBytes: maximumRowBytes)
    case .tsv:
      records = try DelimitedReader(
        stream: stream, separator: UInt8(ascii: "\t"), maximumBytes: maximumRowBytes)
    }
  }

  /// Bytes read so far, for progress.
  public var bytesRead: Int { stream.position }
  /// The file's size in bytes, or nil where it is not a regular file.
  public var byteCount: Int? { stream.size }

  /// The next row, or nil at the end; an error with a `pairID` is of a row whose id stood before.
  ///
  /// - Throws: `fileUnavailable` where the file can no longer be read.
  public func next() throws -> Row? {
    guard let (line, fields) = try records.next() else { return nil }
    rows += 1
    var twice: String?
    do {
      let pair = try Pair(fields: fields.get(), row: rows)
      guard seen.insert(pair.pairID) else {
        twice = pair.pairID
        throw RetortError(
          .malformedRow, "the pair_id \"\(pair.pairID)\" stands in an earlier row", field: "pair_id",
          remedy: "Give every pair an id of its own.")
      }
      return .pair(pair, line: line)
    } catch let error as RetortError {
      let placed = RetortError(
        error.code, error.message, file: path, field: error.field, position: "line \(line)",
        remedy: error.remedy)
      return .error(RowError(line: line, pairID: twice, reason: placed))
    }
  }
}
