import Basics
import Foundation

/// A bulk job's state beside its output: what the job is, and a row for each finished pair.
///
/// A pair without a row is pending, so a job of millions of pairs starts at once and its ledger grows with what is
/// done. The file is SQLite in WAL mode with `synchronous=FULL`: a transaction is on disk when it ends, whatever
/// then happens to the process or the power, and others may read while the job runs. One process writes, held to
/// that by ``LedgerLock``.
public final class Ledger {
  public static let formatVersion = 1
  static let doneState = 1
  static let failedState = 2
  /// "Rtrt": tells a ledger from other SQLite files.
  static let applicationID = 0x5274_7274

  public let path: String
  public let identity: JobIdentity
  private var lock: LedgerLock?
  private let reader: SQLiteDatabase
  private let finished: SQLiteStatement
  private let writer: LedgerWriter
  private var isClosed = false

  /// The ledger that belongs to an output file.
  public static func path(forOutput output: String) -> String { output + ".ledger" }

  /// Refuses early, before a model is loaded, a ledger that another process works on.
  ///
  /// - Throws: `jobConflict`.
  public static func checkIsFree(path: String) throws {
    _ = try LedgerLock(ledger: path)
  }

  /// Opens the ledger of a job, or creates it.
  ///
  /// - Parameters:
  ///   - details: what people are told of the job and does not bind it, for example the input's path.
  ///   - restart: forgets what an earlier job left there.
  ///   - retryFailed: forgets which rows could not be labelled, so that they are pending again.
  /// - Throws: `jobConflict` where it is in use or belongs to other input or settings; `malformedFile`;
  ///   `writeFailed` where the disk is full.
  public init(
    path: String, identity: JobIdentity, details: [String: String] = [:], restart: Bool = false,
    retryFailed: Bool = false
  )
    throws
  {
    self.path = path
    self.identity = identity
    lock = try LedgerLock(ledger: path)
    if restart { try Ledger.remove(path) }
    let database = try SQLiteDatabase(path: path, access: .write)
    if try database.number("SELECT count(*) FROM sqlite_master") == 0 {
      try Ledger.create(database, identity, details)
    } else {
      try Ledger.checkFormat(database)
      try Ledger.compare(identity, database)
    }
    // A network file system may refuse WAL; SQLite then stays with its rollback journal, as safe but slower.
    try database.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")
    if retryFailed { try Ledger.forgetFailures(database) }
    reader = try SQLiteDatabase(path: path, access: .read)
    finished = try reader.prepare("SELECT row FROM rows WHERE row >= ?1 AND row < ?2")
    writer = try LedgerWriter(database)
    try writer.set("path of input", details["path of input"] ?? "")
  }

  deinit { if !isClosed { try? writer.close() } }

  /// Takes a labelled row; it is on disk within a second.
  ///
  /// - Throws: `writeFailed` where the disk is full. What was on disk before stays there.
  public func recordDone(row: Int, json: String, label: String, generatedTokens: Int) throws {
    try writer.add(
      .init(row: row, isDone: true, text: json, label: label, generatedTokens: generatedTokens))
  }

  /// Takes a row that cannot be labelled, with its error as JSON.
  public func recordFailed(row: Int, json: String) throws {
    try writer.add(.init(row: row, isDone: false, text: json, label: nil, generatedTokens: 0))
  }

  /// The rows of a range that were finished before, or since and are on disk.
  public func finishedRows(in range: Range<Int>) throws -> Set<Int> {
    defer { finished.reset() }
    try finished.bind(1, range.lowerBound)
    try finished.bind(2, range.upperBound)
    var rows: Set<Int> = []
    while try finished.step() { rows.insert(finished.int(0)) }
    return rows
  }

  /// Notes how many rows the whole input has (with those of other shards), and how many of them are this job's:
  /// known when it has been read to its end, or to its limit.
  public func recordTotals(inputRows: Int, jobRows: Int) throws {
    try writer.set("input rows", String(inputRows))
    try writer.set("job rows", String(jobRows))
  }

  /// Returns when everything recorded so far is on disk.
  public func flush() throws { try writer.flush() }

  /// Writes what waits and gives the ledger back.
  public func close() throws {
    guard !isClosed else { return }
    isClosed = true
    try writer.close()
    lock = nil
  }

  private static func forgetFailures(_ database: SQLiteDatabase) throws {
    try database.execute("BEGIN IMMEDIATE")
    do {
      try database.execute(
        "DELETE FROM rows WHERE state = \(failedState); UPDATE counts SET n = 0 WHERE name = 'failed'; COMMIT"
      )
    } catch {
      if database.isInTransaction { try? database.execute("ROLLBACK") }
      throw error
    }
  }

  private static func remove(_ path: String) throws {
    for name in [path, path + "-wal", path + "-shm", path + "-journal"] {
      guard unlink(name) != 0, errno != ENOENT else { continue }
      throw RetortError(
        .fileUnavailable, "cannot remove the old ledger: \(String(cString: strerror(errno)))", file: name,
        remedy: "Remove it, or choose another output.")
    }
  }

  private static func create(_ database: SQLiteDatabase, _ identity: JobIdentity, _ details: [String: String])
    throws
  {
    try database.execute("BEGIN IMMEDIATE")
    try database.execute(
      """
      PRAGMA application_id=\(applicationID);
      PRAGMA user_version=\(formatVersion);
      CREATE TABLE identity(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
      CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
      CREATE TABLE counts(name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
      CREATE TABLE rows(row INTEGER PRIMARY KEY, state INTEGER NOT NULL, text TEXT NOT NULL);
      """)
    try insert(identity.facts, into: "identity", database)
    var meta = details
    meta["started"] = LedgerWriter.stamp(Date())
    meta["estimated rows"] = String(identity.input.estimatedRows)
    meta["identity hash"] = identity.hash
    try insert(meta, into: "meta", database)
    try database.execute("COMMIT")
    syncFolder(of: database.path)
  }

  private static func insert(_ values: [String: String], into table: String, _ database: SQLiteDatabase)
    throws
  {
    let statement = try database.prepare("INSERT INTO \(table)(name, value) VALUES (?1, ?2)")
    for (name, value) in values.sorted(by: { $0.key < $1.key }) {
      try statement.bind(1, name)
      try statement.bind(2, value)
      try statement.run()
    }
  }

  /// Makes the new file's name as durable as its content.
  private static func syncFolder(of path: String) {
    let folder = (path as NSString).deletingLastPathComponent
    let descriptor = open(folder.isEmpty ? "." : folder, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    Foundation.close(descriptor)
  }

  /// - Throws: `malformedFile` where the file is another program's, `unsupported` where a newer version wrote it.
  static func checkFormat(_ database: SQLiteDatabase) throws {
    guard try database.number("PRAGMA application_id") == applicationID else {
      throw SQLiteDatabase.malformed(database.path, "it is an SQLite file of another kind")
    }
    let version = try database.number("PRAGMA user_version") ?? 0
    guard version == formatVersion else {
      throw RetortError(
        .unsupported, "the ledger has format \(version), this program knows \(formatVersion)",
        file: database.path, remedy: "Use the version of Retort that began the job, or give --restart.")
    }
  }

  private static func compare(_ identity: JobIdentity, _ database: SQLiteDatabase) throws {
    let statement = try database.prepare("SELECT name, value FROM identity")
    var stored: [String: String] = [:]
    while try statement.step() { stored[statement.text(0)] = statement.text(1) }
    let changes = identity.changes(since: stored)
    guard changes.isEmpty else {
      let done = try database.number("SELECT n FROM counts WHERE name = 'done'") ?? 0
      throw RetortError(
        .jobConflict,
        "the job that was begun here (\(done) pairs done) was another one: \(changes.joined(separator: "; "))",
        file: database.path,
        remedy: "Put that back to resume, choose another --output to keep both, or give --restart to start "
          + "afresh, which forgets what is done.")
    }
  }
}
