import Foundation

/// A job as its ledger tells it.
public struct LedgerSummary: Sendable {
  public let path: String
  /// Whether a process works on it now.
  public let isRunning: Bool
  public let done: Int
  public let failed: Int
  /// Rows that this job has to finish; an estimate until ``isTotalExact``.
  public let total: Int
  public let isTotalExact: Bool
  /// Rows of the whole input with those of other shards, where known.
  public let inputRows: Int?
  public let shard: String
  public let model: String
  /// The input's path as it was given last.
  public let input: String
  public let generatedTokens: Int
  /// Seconds that the job has worked, over all its runs.
  public let activeSeconds: Double
  public let started: Date?
  public let lastActivity: Date?
  /// How often each label was given.
  public let labels: [String: Int]
  /// What the job is bound to, name and value.
  public let identity: [String: String]

  init(
    path: String, identity: [String: String], meta: [String: String], counts: [String: Int], isRunning: Bool
  ) {
    self.path = path
    self.identity = identity
    self.isRunning = isRunning
    // A ledger is a file like any other: no number in it may overflow a sum.
    let counts = counts.mapValues { min(max($0, 0), 1 << 48) }
    func number(_ name: String) -> Int? { meta[name].flatMap { Int($0) }.map { min(max($0, 0), 1 << 48) } }
    done = counts["done"] ?? 0
    failed = counts["failed"] ?? 0
    shard = identity["shard"] ?? "1/1"
    let shards = shard.split(separator: "/").last.flatMap { Int($0) } ?? 1
    let exact = number("job rows")
    let estimate = (number("estimated rows") ?? 0) / max(1, shards)
    isTotalExact = exact != nil
    total = exact ?? max(estimate, done + failed)
    inputRows = number("input rows")
    model = identity["model"] ?? ""
    input = meta["path of input"] ?? ""
    generatedTokens = counts["tokens"] ?? 0
    activeSeconds = Double(counts["active milliseconds"] ?? 0) / 1000
    started = meta["started"].flatMap { Double($0) }.map { Date(timeIntervalSince1970: $0) }
    lastActivity = meta["last activity"].flatMap { Double($0) }.map { Date(timeIntervalSince1970: $0) }
    var labels: [String: Int] = [:]
    for (name, count) in counts where name.hasPrefix("label ") { labels[String(name.dropFirst(6))] = count }
    self.labels = labels
  }

  public var pending: Int { max(0, total - done - failed) }
  /// Whether every row is finished.
  public var isComplete: Bool { isTotalExact && pending == 0 }
  /// Rows finished a second, over all runs.
  public var rate: Double { activeSeconds > 0 ? Double(done + failed) / activeSeconds : 0 }

  /// `running`, `complete` or `stopped`.
  public var state: String { isRunning ? "running" : isComplete ? "complete" : "stopped" }
}
