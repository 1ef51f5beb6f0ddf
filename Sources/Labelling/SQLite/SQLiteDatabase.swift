import Basics
import CSQLite

/// A connection to an SQLite database file; every failure is a `RetortError` that names the file.
///
/// A connection and its statements belong to one thread at a time.
final class SQLiteDatabase {
  enum Access {
    /// An existing file, unchanged.
    case read
    /// Created where it is missing.
    case write
  }

  let path: String
  private var handle: OpaquePointer?

  /// Opens `path`; the file's content is looked at only by the first statement.
  init(path: String, access: Access) throws {
    self.path = path
    let flags =
      access == .read ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
    let code = sqlite3_open_v2(path, &handle, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nil)
    guard code == SQLITE_OK else {
      let error = failure(code)
      sqlite3_close_v2(handle)
      handle = nil
      throw error
    }
    sqlite3_busy_timeout(handle, 5000)
  }

  deinit { sqlite3_close_v2(handle) }

  /// Runs statements that return nothing, or whose rows are of no interest.
  func execute(_ sql: String) throws {
    let code = sqlite3_exec(handle, sql, nil, nil, nil)
    guard code == SQLITE_OK else { throw failure(code) }
  }

  func prepare(_ sql: String) throws -> SQLiteStatement {
    var statement: OpaquePointer?
    let code = sqlite3_prepare_v2(handle, sql, -1, &statement, nil)
    guard code == SQLITE_OK, let statement else { throw failure(code) }
    return SQLiteStatement(statement, of: self)
  }

  /// The first column of the first row as a number, or nil where there is no row.
  func number(_ sql: String) throws -> Int? {
    let statement = try prepare(sql)
    return try statement.step() ? statement.int(0) : nil
  }

  /// Rows that the last statement changed.
  var changes: Int { Int(sqlite3_changes(handle)) }

  /// Whether a transaction is open.
  var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

  /// What an SQLite result code means to the user.
  func failure(_ code: Int32) -> RetortError {
    let text = handle.flatMap { sqlite3_errmsg($0) } ?? sqlite3_errstr(code)
    let message = text.map { String(cString: $0) } ?? "SQLite error \(code)"
    switch code & 0xFF {
    case SQLITE_FULL, SQLITE_IOERR:
      return RetortError(
        .writeFailed, "cannot read or write the ledger: \(message)", file: path,
        remedy: "Nothing that was finished is lost: free some space and run the same command again.")
    case SQLITE_NOTADB, SQLITE_CORRUPT, SQLITE_FORMAT, SQLITE_ERROR, SQLITE_MISMATCH, SQLITE_SCHEMA:
      return SQLiteDatabase.malformed(path, message)
    case SQLITE_NOMEM:
      return RetortError(
        .outOfMemory, "no memory left for the ledger", file: path, remedy: "Free some memory.")
    case SQLITE_BUSY, SQLITE_LOCKED:
      return RetortError(
        .jobConflict, "another program holds the ledger: \(message)", file: path,
        remedy: "Wait until it has ended, then run the command again.")
    default:
      return RetortError(
        .fileUnavailable, "cannot open or use the ledger: \(message)", file: path,
        remedy: "Check that the path is right and that you may write to its folder.")
    }
  }

  static func malformed(_ path: String, _ message: String) -> RetortError {
    RetortError(
      .malformedFile, "the file is not a sound ledger: \(message)", file: path,
      remedy: "Give --restart to label from the start with a new ledger, or put the file back from a copy.")
  }
}
