import Basics
import Foundation

/// A file's bytes one after another, read in chunks, without a leading byte order mark.
final class ByteStream {
  static let chunkBytes = 1 << 16

  let path: String
  /// The file's size in bytes, or nil where it is not a regular file.
  let size: Int?
  /// Bytes handed out so far.
  private(set) var position = 0
  /// The number of the line that the next byte stands on, from 1.
  private(set) var line = 1

  private let descriptor: Int32
  private var chunk: [UInt8] = []
  private var next = 0
  private var atEnd = false

  init(path: String) throws {
    self.path = path
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw ByteStream.unavailable(path, String(cString: strerror(errno))) }
    var info = stat()
    let isKnown = fstat(descriptor, &info) == 0
    size = isKnown && info.st_mode & S_IFMT == S_IFREG ? Int(info.st_size) : nil
    if isKnown && info.st_mode & S_IFMT == S_IFDIR {
      throw ByteStream.unavailable(path, "it is a folder")
    }
    // From here on every property is set, so `deinit` closes the file also where this throws.
    while chunk.count < 3, try fill() {}
    if chunk.starts(with: [0xEF, 0xBB, 0xBF]) {
      next = 3
      position = 3
    }
  }

  deinit { close(descriptor) }

  /// The next byte without passing it, or nil at the end.
  func peek() throws -> UInt8? {
    if next == chunk.count {
      chunk.removeAll(keepingCapacity: true)
      next = 0
      guard try fill() else { return nil }
    }
    return chunk[next]
  }

  /// The next byte, or nil at the end.
  func read() throws -> UInt8? {
    guard let byte = try peek() else { return nil }
    next += 1
    position += 1
    if byte == UInt8(ascii: "\n") { line += 1 }
    return byte
  }

  /// Puts back bytes that were just read, the first of which stands on `line`.
  func unread(_ bytes: ArraySlice<UInt8>, line: Int) {
    chunk.replaceSubrange(..<next, with: bytes)
    next = 0
    position -= bytes.count
    self.line = line
  }

  /// Appends a chunk; false at the end.
  private func fill() throws -> Bool {
    guard !atEnd else { return false }
    var failure: Int32 = 0
    let piece = [UInt8](unsafeUninitializedCapacity: ByteStream.chunkBytes) { buffer, count in
      var got = Foundation.read(descriptor, buffer.baseAddress, buffer.count)
      while got < 0 && errno == EINTR { got = Foundation.read(descriptor, buffer.baseAddress, buffer.count) }
      if got < 0 { failure = errno }
      count = max(got, 0)
    }
    guard failure == 0 else { throw ByteStream.unavailable(path, String(cString: strerror(failure))) }
    atEnd = piece.isEmpty
    if chunk.isEmpty { chunk = piece } else { chunk += piece }
    return !atEnd
  }

  private static func unavailable(_ path: String, _ reason: String) -> RetortError {
    RetortError(
      .fileUnavailable, "cannot read the file: \(reason)", file: path,
      remedy: "Check that the path is right and that you may read it.")
  }
}
