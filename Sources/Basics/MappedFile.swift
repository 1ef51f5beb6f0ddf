import Foundation

/// A file mapped read-only into memory; unmapped when the last reference goes.
public final class MappedFile: @unchecked Sendable {
  public let path: String
  public let bytes: UnsafeRawBufferPointer

  /// Maps `path`.
  ///
  /// - Throws: `fileUnavailable` where the file cannot be opened or mapped, or is not a regular file.
  public init(path: String) throws {
    // Without O_NONBLOCK a named pipe would wait for a writer instead of being refused below.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw MappedFile.unavailable(path, String(cString: strerror(errno))) }
    defer { close(descriptor) }
    var info = stat()
    guard fstat(descriptor, &info) == 0 else {
      throw MappedFile.unavailable(path, String(cString: strerror(errno)))
    }
    guard info.st_mode & S_IFMT == S_IFREG else { throw MappedFile.unavailable(path, "not a regular file") }
    let size = Int(info.st_size)
    self.path = path
    guard size > 0 else {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let base = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), base != MAP_FAILED else {
      throw MappedFile.unavailable(path, String(cString: strerror(errno)))
    }
    bytes = UnsafeRawBufferPointer(start: base, count: size)
  }

  deinit {
    if let base = bytes.baseAddress {
      munmap(UnsafeMutableRawPointer(mutating: base), bytes.count)
    }
  }

  /// Tells the system that a range is no longer needed in memory; it is read again from disk when touched.
  public func release(_ range: Range<Int>) {
    guard let base = bytes.baseAddress else { return }
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let lower = (range.lowerBound + page - 1) / page * page
    let upper = min(range.upperBound, bytes.count) / page * page
    guard lower < upper else { return }
    madvise(UnsafeMutableRawPointer(mutating: base + lower), upper - lower, MADV_DONTNEED)
  }

  private static func unavailable(_ path: String, _ reason: String) -> RetortError {
    RetortError(
      .fileUnavailable, "cannot read the file: \(reason)", file: path,
      remedy: "Check that the path is right and that you may read it.")
  }
}
