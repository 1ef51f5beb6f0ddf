import Basics
import Foundation

/// Reads a ledger, also while its job runs: what it holds is then the state of one instant.
public final class LedgerReader {
  public enum State: Int, Sendable {
    case done = 1
    case failed = 2
  }

  public let path: String
  private let database: SQLiteDatabase

  /// - Throws: `fileUnavailable` where there is none, `malformedFile` where the file is something else.
  public init(path: String) throws {
    self.path = path
    guard access(path, F_OK) == 0 else {
      throw RetortError(
        .fileUnavailable, "there is no ledger", file: path,
        remedy: "Give the --output of a job that was begun with 'retort label'.")
    }
    database = try SQLiteDatabase(path: path, access: .read)
    try Ledger.checkFormat(database)
  }

  /// Hands out finished rows in input order, one at a time.
  ///
  /// - Parameters:
  ///   - state: only rows of this state; all finished rows where nil.
  ///   - limit: only rows before this number.
  public func forEach(
    _ state: State? = nil, before limit: Int? = nil,
    _ body: (Int, State, UnsafeRawBufferPointer) throws -> Void
  ) throws {
    let cursor = try cursor(state, before: limit)
    while let row = try cursor.next() { try row.withText { try body(row.number, row.state, $0) } }
  }

  /// The first labelled rows in input order, as many as there are up to `count`.
  public func firstRecords(_ count: Int) throws -> [(row: Int, json: String)] {
    let cursor = try cursor(.done)
    var records: [(row: Int, json: String)] = []
    while records.count < count, let row = try cursor.next() {
      records.append((row.number, row.withText { String(decoding: $0, as: UTF8.self) }))
    }
    return records
  }

  func cursor(_ state: State? = nil, before limit: Int? = nil) throws -> Cursor {
    let filter = state.map { " AND state = \($0.rawValue)" } ?? ""
    let statement = try database.prepare(
      "SELECT row, state, text FROM rows WHERE row < ?1\(filter) ORDER BY row")
    try statement.bind(1, limit ?? Int.max)
    return Cursor(statement: statement, path: path)
  }

  /// A walk over rows; a row is valid until the next is asked for.
  struct Cursor {
    let statement: SQLiteStatement
    let path: String

    struct Row {
      let number: Int
      let state: State
      let statement: SQLiteStatement

      func withText<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try statement.withBytes(2, body)
      }
    }

    func next() throws -> Row? {
      guard try statement.step() else { return nil }
      guard let state = State(rawValue: statement.int(1)) else {
        throw SQLiteDatabase.malformed(path, "row \(statement.int(0)) has no known state")
      }
      return Row(number: statement.int(0), state: state, statement: statement)
    }
  }

  /// The job in numbers.
  public func summary() throws -> LedgerSummary {
    try database.execute("BEGIN")
    defer { try? database.execute("COMMIT") }
    let identity = try pairs("identity")
    let meta = try pairs("meta")
    var counts: [String: Int] = [:]
    let statement = try database.prepare("SELECT name, n FROM counts")
    while try statement.step() { counts[statement.text(0)] = statement.int(1) }
    return LedgerSummary(
      path: path, identity: identity, meta: meta, counts: counts, isRunning: LedgerLock.isHeld(ledger: path))
  }

  private func pairs(_ table: String) throws -> [String: String] {
    let statement = try database.prepare("SELECT name, value FROM \(table)")
    var values: [String: String] = [:]
    while try statement.step() { values[statement.text(0)] = statement.text(1) }
    return values
  }
}
