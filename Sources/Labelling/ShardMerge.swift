import Basics

/// Joins the ledgers of an input's shards into one output in input order.
public enum ShardMerge {
  public struct Report: Sendable, Equatable {
    public var rows = 0
    public var done = 0
    public var failed = 0
  }

  /// Ranges of missing rows that an error names at most.
  private static let namedRanges = 10

  /// Checks that every row of the input is there exactly once, then writes records and errors.
  ///
  /// - Parameter ledgers: one ledger a shard, in any order.
  /// - Throws: `jobConflict` where ledgers belong to other inputs or settings, a shard is missing or twice, or rows
  ///   are missing: it says which; `writeFailed` where the disk is full. Nothing is written then.
  public static func write(_ ledgers: [LedgerReader], output: String) throws -> Report {
    let summaries = try ledgers.map { try $0.summary() }
    let inputRows = try check(summaries)
    var cursors: [(cursor: LedgerReader.Cursor, row: LedgerReader.Cursor.Row)] = []
    for ledger in ledgers {
      let cursor = try ledger.cursor(before: inputRows)
      if let row = try cursor.next() { insert((cursor, row), into: &cursors) }
    }
    let files = try LabelOutput.Files(output: output)
    var report = Report()
    var missing: [Range<Int>] = []
    var next = 0
    // The shard whose row comes first stands last.
    while let first = cursors.popLast() {
      let number = first.row.number
      guard number >= next else {
        throw problem(
          "row \(number + 1) stands in two shards", "Make the shards anew with the same --shard counts.")
      }
      if number > next { missing.append(next..<number) }
      next = number + 1
      try first.row.withText { try files.write(first.row.state, $0) }
      if first.row.state == .done { report.done += 1 } else { report.failed += 1 }
      if let row = try first.cursor.next() { insert((first.cursor, row), into: &cursors) }
    }
    if let inputRows, next < inputRows { missing.append(next..<inputRows) }
    guard missing.isEmpty, summaries.allSatisfy(\.isComplete) else { throw incomplete(missing, summaries) }
    report.rows = next
    try files.commit()
    return report
  }

  /// Keeps cursors in falling order of row; few move far, for rows of the shards alternate.
  private static func insert(
    _ entry: (cursor: LedgerReader.Cursor, row: LedgerReader.Cursor.Row),
    into cursors: inout [(cursor: LedgerReader.Cursor, row: LedgerReader.Cursor.Row)]
  ) {
    var (low, high) = (0, cursors.count)
    while low < high {
      let middle = (low + high) / 2
      if cursors[middle].row.number > entry.row.number { low = middle + 1 } else { high = middle }
    }
    cursors.insert(entry, at: low)
  }

  /// That the ledgers are all shards of one job, each once; returns the input's rows where one of them has
  /// read it to its end.
  private static func check(_ summaries: [LedgerSummary]) throws -> Int? {
    guard let first = summaries.first else {
      throw problem("no shards are given", "Name the outputs of all shards.")
    }
    var seen: [String: String] = [:]
    for summary in summaries {
      for name in Set(first.identity.keys).union(summary.identity.keys).sorted() where name != "shard" {
        guard first.identity[name] != summary.identity[name] else { continue }
        throw problem(
          "\(summary.path) belongs to another job than \(first.path): \(name) differs",
          "Merge only shards of one input, labelled with the same model and settings.")
      }
      if let other = seen.updateValue(summary.path, forKey: summary.shard) {
        throw problem(
          "shard \(summary.shard) is there twice: \(other) and \(summary.path)", "Name each shard once.")
      }
    }
    let counts = Set(summaries.map { $0.shard.split(separator: "/").last.flatMap { Int($0) } ?? 0 })
    guard counts.count == 1, let count = counts.first, (1...1 << 20).contains(count) else {
      throw problem(
        "the shards divide the input differently: \(seen.keys.sorted().joined(separator: ", "))",
        "Make all shards with the same --shard count.")
    }
    let absent = (1...count).map { "\($0)/\(count)" }.filter { seen[$0] == nil }
    guard absent.isEmpty else {
      let shown =
        absent.prefix(namedRanges).joined(separator: ", ") + (absent.count > namedRanges ? ", …" : "")
      throw problem(
        "\(absent.count) of \(count) shards are missing: \(shown)", "Name the outputs of all shards.")
    }
    let rows = Set(summaries.compactMap(\.inputRows))
    guard rows.count <= 1 else {
      throw problem("the shards were made with different --limit", "Make them again with the same --limit.")
    }
    return rows.first
  }

  private static func incomplete(_ missing: [Range<Int>], _ summaries: [LedgerSummary]) -> RetortError {
    let count = missing.reduce(0) { $0 + $1.count }
    let ranges = missing.prefix(namedRanges).map { range in
      range.count == 1 ? "\(range.lowerBound + 1)" : "\(range.lowerBound + 1)–\(range.upperBound)"
    }
    var text =
      missing.isEmpty ? "" : "\(count) rows of the input are missing: " + ranges.joined(separator: ", ")
    if missing.count > namedRanges { text += ", …" }
    let open = summaries.filter { !$0.isComplete }.map { "\($0.shard) (\($0.path))" }
    if !open.isEmpty {
      text += (text.isEmpty ? "" : "; ") + "unfinished shards: " + open.joined(separator: ", ")
    }
    return problem(text, "Run each unfinished shard's command again, then merge.")
  }

  private static func problem(_ message: String, _ remedy: String) -> RetortError {
    RetortError(.jobConflict, message, remedy: remedy)
  }
}
