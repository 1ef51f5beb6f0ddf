import Basics
import Foundation
import Relevance

/// What an input file is known by, and how many rows it seems to have.
public struct InputFingerprint: Sendable, Equatable {
  public let bytes: Int
  /// SHA-256 of the content in hexadecimal.
  public let sha256: String
  /// Rows, counted without parsing them: exact for JSON Lines, close for CSV and TSV with stray quotes.
  public let estimatedRows: Int

  public init(bytes: Int, sha256: String, estimatedRows: Int) {
    self.bytes = bytes
    self.sha256 = sha256
    self.estimatedRows = estimatedRows
  }

  /// Reads the whole file once, a piece at a time.
  ///
  /// - Throws: `fileUnavailable` where it cannot be read or is no regular file, which could not be read again
  ///   when the job is resumed.
  public init(path: String, format: PairFormat) throws {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw InputFingerprint.unavailable(path, String(cString: strerror(errno))) }
    defer { close(descriptor) }
    var info = stat()
    guard fstat(descriptor, &info) == 0, info.st_mode & S_IFMT == S_IFREG else {
      throw RetortError(
        .fileUnavailable, "the input is not a regular file", file: path,
        remedy: "Write it to a file first: a job that is resumed reads its input again.")
    }
    var hash = SHA256()
    var counter = RowCounter(format: format)
    var total = 0
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    defer { buffer.deallocate() }
    while true {
      let count = read(descriptor, buffer.baseAddress, buffer.count)
      if count < 0 {
        if errno == EINTR { continue }
        throw InputFingerprint.unavailable(path, String(cString: strerror(errno)))
      }
      if count == 0 { break }
      let piece = UnsafeRawBufferPointer(rebasing: buffer[..<count])
      hash.update(piece)
      counter.count(piece)
      total += count
    }
    bytes = total
    sha256 = SHA256.hex(hash.finish())
    estimatedRows = counter.rows
  }

  private static func unavailable(_ path: String, _ reason: String) -> RetortError {
    RetortError(
      .fileUnavailable, "cannot read the file: \(reason)", file: path,
      remedy: "Check that the path is right and that you may read it.")
  }
}

/// Counts lines that are not blank; in CSV and TSV, line breaks inside quotes do not end a row.
private struct RowCounter {
  private let hasHeader: Bool
  private var ended = 0
  private var isBlank = true
  private var isQuoted = false

  init(format: PairFormat) { hasHeader = format != .jsonLines }

  mutating func count(_ bytes: UnsafeRawBufferPointer) {
    for byte in bytes {
      switch byte {
      case UInt8(ascii: "\n"):
        if isQuoted { continue }
        if !isBlank { ended += 1 }
        isBlank = true
      case 0x20, 0x09, 0x0D: break
      default:
        isBlank = false
        if hasHeader, byte == UInt8(ascii: "\"") { isQuoted.toggle() }
      }
    }
  }

  var rows: Int { max(0, ended + (isBlank ? 0 : 1) - (hasHeader ? 1 : 0)) }
}
