import Foundation

/// A file written under a temporary name that takes its final name only when complete.
///
/// Call ``commit()`` to fsync and rename; without it the temporary file is removed and whatever stood under the
/// final name stays as it was.
public final class AtomicFile {
  public let path: String
  private let temporaryPath: String
  private var descriptor: Int32
  private var buffer: [UInt8] = []

  /// Opens a temporary file beside `path` for what is made of `inputs`.
  ///
  /// - Throws: `fileUnavailable` where the folder cannot be written, or where a folder, device or pipe has the
  ///   name: taking its place would destroy it; `invalidArgument` where it is one of the inputs.
  public init(path: String, madeFrom inputs: [String] = []) throws {
    self.path = path
    temporaryPath = path + ".partial-\(getpid())"
    var info = stat()
    if stat(path, &info) == 0, info.st_mode & S_IFMT != S_IFREG {
      throw RetortError(
        .fileUnavailable, "the name belongs to something that is not a regular file", file: path,
        remedy: "Choose another name for the output.")
    }
    for input in inputs where AtomicFile.isSame(path, input) {
      throw RetortError(
        .invalidArgument, "the output is the input", file: path, field: "output",
        remedy: "Choose another name for the output: it would take the input's place.")
    }
    descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw RetortError(
        .fileUnavailable, "cannot create the file: \(String(cString: strerror(errno)))", file: path,
        remedy: "Check that the folder exists and that you may write there.")
    }
  }

  /// Whether two names are of one file.
  private static func isSame(_ first: String, _ second: String) -> Bool {
    var (a, b) = (stat(), stat())
    return stat(first, &a) == 0 && stat(second, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino
  }

  deinit {
    if descriptor >= 0 {
      close(descriptor)
      unlink(temporaryPath)
    }
  }

  /// Appends text; throws `writeFailed` where the disk is full.
  public func write(_ text: String) throws {
    buffer.append(contentsOf: text.utf8)
    if buffer.count >= 1 << 16 { try flush() }
  }

  /// Appends bytes; throws `writeFailed` where the disk is full.
  public func write(bytes: UnsafeRawBufferPointer) throws {
    if bytes.count < 1 << 16 {
      buffer.append(contentsOf: bytes)
      if buffer.count >= 1 << 16 { try flush() }
    } else {
      try flush()
      try put(bytes)
    }
  }

  /// Hands buffered bytes to the system; throws `writeFailed` where the disk is full.
  public func flush() throws {
    try buffer.withUnsafeBytes { try put($0) }
    buffer.removeAll(keepingCapacity: true)
  }

  /// Writes over bytes that were written before, for a header that is known only at the end.
  public func overwrite(at offset: Int, bytes: UnsafeRawBufferPointer) throws {
    try flush()
    guard pwrite(descriptor, bytes.baseAddress, bytes.count, off_t(offset)) == bytes.count else {
      throw failure()
    }
  }

  private func put(_ bytes: UnsafeRawBufferPointer) throws {
    var start = 0
    while start < bytes.count {
      let written = Foundation.write(descriptor, bytes.baseAddress.map { $0 + start }, bytes.count - start)
      if written < 0 {
        if errno == EINTR { continue }
        throw failure()
      }
      start += written
    }
  }

  /// Flushes, fsyncs and renames to the final name.
  public func commit() throws {
    try flush()
    guard fsync(descriptor) == 0 else { throw failure() }
    // The number is free after a failed close too: closing it again would close what another thread has opened since.
    let opened = descriptor
    descriptor = -1
    guard close(opened) == 0 else {
      let error = failure()
      unlink(temporaryPath)
      throw error
    }
    guard rename(temporaryPath, path) == 0 else {
      let error = failure()
      unlink(temporaryPath)
      throw error
    }
  }

  private func failure() -> RetortError {
    RetortError(
      .writeFailed, "cannot write the file: \(String(cString: strerror(errno)))", file: path,
      remedy: "Free some space or choose another folder, then run the command again.")
  }
}
