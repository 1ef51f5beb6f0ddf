import Basics
import Foundation

/// Writes finished rows in transactions on a thread of its own, so that a row is on disk within a second however
/// long the labeller's next step takes, and labelling does not wait for the disk.
///
/// A transaction ends `interval` after its first row came in, or when `maximumRows` wait. With `synchronous=FULL`
/// its end is an fsync of the write-ahead log: what was written then survives a loss of power.
final class LedgerWriter: @unchecked Sendable {
  struct Entry: Sendable {
    let row: Int
    let isDone: Bool
    /// The record, or the error, as JSON on one line.
    let text: String
    let label: String?
    let generatedTokens: Int
  }

  private static let interval: TimeInterval = 0.25
  private static let maximumRows = 4096

  // Guarded by `condition`; the database is the thread's alone between init and close.
  private let condition = NSCondition()
  private var waiting: [Entry] = []
  private var facts: [String: String] = [:]
  private var firstCame: Date?
  private var failure: RetortError?
  private var isWriting = false
  private var isHurried = false
  private var isClosing = false
  private var hasEnded = false

  private let database: SQLiteDatabase
  private let insertRow: SQLiteStatement
  private let addCount: SQLiteStatement
  private let setFact: SQLiteStatement
  private var lastActivity = Date()

  init(_ database: SQLiteDatabase) throws {
    self.database = database
    insertRow = try database.prepare(
      "INSERT INTO rows(row, state, text) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")
    addCount = try database.prepare(
      "INSERT INTO counts(name, n) VALUES (?1, ?2) ON CONFLICT(name) DO UPDATE SET n = n + excluded.n")
    setFact = try database.prepare(
      "INSERT INTO meta(name, value) VALUES (?1, ?2) ON CONFLICT(name) DO UPDATE SET value = excluded.value")
    let thread = Thread { [self] in work() }
    thread.name = "ledger"
    thread.start()
  }

  /// Takes a finished row; waits where the disk cannot keep up.
  ///
  /// - Throws: what an earlier transaction failed with; nothing is written after that.
  func add(_ entry: Entry) throws {
    condition.lock()
    defer { condition.unlock() }
    while waiting.count >= 4 * LedgerWriter.maximumRows, failure == nil { condition.wait() }
    try check()
    if firstCame == nil { firstCame = Date() }
    waiting.append(entry)
    if waiting.count == 1 || waiting.count >= LedgerWriter.maximumRows { condition.broadcast() }
  }

  /// Sets a value of the table `meta` with the next transaction.
  func set(_ name: String, _ value: String) throws {
    condition.lock()
    defer { condition.unlock() }
    try check()
    if firstCame == nil { firstCame = Date() }
    facts[name] = value
    condition.broadcast()
  }

  /// Returns when everything taken so far is on disk.
  func flush() throws {
    condition.lock()
    defer { condition.unlock() }
    isHurried = true
    condition.broadcast()
    while !waiting.isEmpty || !facts.isEmpty || isWriting, failure == nil { condition.wait() }
    try check()
  }

  /// Writes what waits, then ends the thread.
  func close() throws {
    condition.lock()
    defer { condition.unlock() }
    isClosing = true
    condition.broadcast()
    while !hasEnded { condition.wait() }
    try check()
  }

  private func check() throws {
    if let failure { throw failure }
  }

  private func work() {
    condition.lock()
    while failure == nil {
      if waiting.isEmpty, facts.isEmpty {
        isHurried = false
        if isClosing { break }
        condition.wait()
        continue
      }
      let due = (firstCame ?? Date()).addingTimeInterval(LedgerWriter.interval)
      if !isHurried, !isClosing, waiting.count < LedgerWriter.maximumRows, Date() < due {
        _ = condition.wait(until: due)
        continue
      }
      let (entries, newFacts) = (waiting, facts)
      waiting.removeAll(keepingCapacity: true)
      facts = [:]
      firstCame = nil
      isWriting = true
      condition.unlock()
      let result = Result { try write(entries, newFacts) }
      condition.lock()
      isWriting = false
      if case .failure(let error) = result {
        failure =
          error as? RetortError
          ?? RetortError(.writeFailed, "\(error)", file: database.path, remedy: "Run the command again.")
      }
      condition.broadcast()
    }
    hasEnded = true
    condition.broadcast()
    condition.unlock()
  }

  /// One transaction: rows, the counts they add to, and when it was.
  private func write(_ entries: [Entry], _ facts: [String: String]) throws {
    try database.execute("BEGIN IMMEDIATE")
    do {
      var added: [String: Int] = [:]
      for entry in entries {
        try insertRow.bind(1, entry.row)
        try insertRow.bind(2, entry.isDone ? Ledger.doneState : Ledger.failedState)
        try insertRow.bind(3, entry.text)
        try insertRow.run()
        guard database.changes == 1 else { continue }
        added[entry.isDone ? "done" : "failed", default: 0] += 1
        added["tokens", default: 0] += entry.generatedTokens
        if let label = entry.label { added["label " + label, default: 0] += 1 }
      }
      let now = Date()
      added["active milliseconds"] = max(0, Int(now.timeIntervalSince(lastActivity) * 1000))
      for (name, count) in added where count > 0 {
        try addCount.bind(1, name)
        try addCount.bind(2, count)
        try addCount.run()
      }
      for (name, value) in facts.merging(["last activity": LedgerWriter.stamp(now)], uniquingKeysWith: { $1 })
      {
        try setFact.bind(1, name)
        try setFact.bind(2, value)
        try setFact.run()
      }
      try database.execute("COMMIT")
      lastActivity = now
    } catch {
      // SQLite may have rolled back by itself, as it does on a full disk.
      if database.isInTransaction { try? database.execute("ROLLBACK") }
      throw error
    }
  }

  /// Seconds since 1970 with milliseconds, as text.
  static func stamp(_ date: Date) -> String { String(format: "%.3f", date.timeIntervalSince1970) }
}
