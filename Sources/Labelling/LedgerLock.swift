import Basics
import Foundation

/// The right to write a ledger: held by one process at a time, and given back by the system however it ends.
final class LedgerLock {
  private let path: String
  private let descriptor: Int32

  /// - Throws: `jobConflict` where another process, or another part of this one, holds the ledger.
  init(ledger: String) throws {
    path = ledger + ".lock"
    // The holder before may remove the name between the two calls: the lock counts only while the name is ours.
    for attempt in 0..<8 {
      let opened = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
      guard opened >= 0 else { throw LedgerLock.unavailable(path) }
      if flock(opened, LOCK_EX | LOCK_NB) == 0 {
        var (held, named) = (stat(), stat())
        if fstat(opened, &held) == 0, stat(path, &named) == 0, held.st_ino == named.st_ino {
          descriptor = opened
          writeHolder()
          return
        }
      } else if errno != EWOULDBLOCK && errno != EINTR {
        defer { close(opened) }
        throw LedgerLock.unavailable(path)
      }
      close(opened)
      // 'retort jobs' holds the lock for an instant to see whether somebody else does.
      if attempt < 7 { usleep(30_000) }
    }
    throw RetortError(
      .jobConflict, "the job is running already\(LedgerLock.holder(path))", file: ledger,
      remedy: "Wait for it, stop it, or give this job another --output.")
  }

  deinit {
    unlink(path)
    close(descriptor)
  }

  /// Whether somebody holds the ledger now.
  static func isHeld(ledger: String) -> Bool {
    let opened = open(ledger + ".lock", O_RDONLY | O_CLOEXEC)
    guard opened >= 0 else { return false }
    defer { close(opened) }
    return flock(opened, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK
  }

  /// Who holds the lock is a help for people; a full disk may keep it from being written.
  private func writeHolder() {
    let text = "\(getpid())\n"
    ftruncate(descriptor, 0)
    _ = text.withCString { write(descriptor, $0, strlen($0)) }
  }

  private static func holder(_ path: String) -> String {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8), let process = Int32(text.dropLast())
    else { return "" }
    return ", as process \(process)"
  }

  private static func unavailable(_ path: String) -> RetortError {
    let isFull = errno == ENOSPC || errno == EDQUOT
    return RetortError(
      isFull ? .writeFailed : .fileUnavailable, "cannot lock the ledger: \(String(cString: strerror(errno)))",
      file: path, remedy: "Check that the folder exists, has room and may be written.")
  }
}
