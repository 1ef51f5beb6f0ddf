import Basics
import Dispatch
import Relevance

/// Labels an input's pairs: reads ahead a window, keeps the labeller full, and puts every result into the ledger.
///
/// Rows that the ledger has are passed over, so a job that was interrupted goes on where it was. Memory holds a
/// window of rows and what is in flight, whatever the input's size. Not thread-safe: one task owns a job.
public final class LabelJob {
  public struct Settings: Sendable {
    /// Only rows before this number of the input.
    public var limit: Int?
    public var shard: JobShard?
    /// Rows within which pairs of a query are brought together.
    public var window: Int

    public init(limit: Int? = nil, shard: JobShard? = nil, window: Int = 4096) {
      self.limit = limit
      self.shard = shard
      self.window = window
    }
  }

  private let labeller: any PairLabeller
  private let reader: PairReader
  private let ledger: Ledger
  private let settings: Settings
  private var queue: ArraySlice<PairWork> = []
  private var inFlight: [Int: PairWork] = [:]
  /// Rows read so far, of all shards, and those of this job.
  private var rowsRead = 0
  private var jobRows = 0
  private var isExhausted = false
  private let start = DispatchTime.now().uptimeNanoseconds
  private var current = JobProgress()

  /// - Parameter reader: at the input's start.
  /// - Throws: what reading the ledger's numbers throws.
  public init(labeller: any PairLabeller, reader: PairReader, ledger: Ledger, settings: Settings = Settings())
    throws
  {
    self.labeller = labeller
    self.reader = reader
    self.ledger = ledger
    self.settings = settings
    let summary = try LedgerReader(path: ledger.path).summary()
    current.done = summary.done
    current.failed = summary.failed
    current.labels = summary.labels
    current.total = min(summary.total, max(settings.limit ?? .max, summary.done + summary.failed))
  }

  public var isDone: Bool { isExhausted && queue.isEmpty && inFlight.isEmpty }

  public var progress: JobProgress {
    var progress = current
    progress.seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
    return progress
  }

  /// Labels what is left; returns when all of it is in the ledger and on disk, or when it is told to stop.
  ///
  /// - Parameters:
  ///   - report: called after each step.
  ///   - shouldStop: asked before each step. Where it is true, what is finished is written to disk and what is in
  ///     flight is dropped: a later job over the same ledger labels it.
  /// - Returns: whether everything is labelled.
  /// - Throws: what ``step()`` throws.
  @discardableResult public func run(
    report: (JobProgress) -> Void = { _ in }, shouldStop: () -> Bool = { false }
  ) throws -> Bool {
    while !isDone {
      if shouldStop() {
        try ledger.flush()
        return false
      }
      try step()
      report(progress)
    }
    try ledger.recordTotals(inputRows: rowsRead, jobRows: jobRows)
    try ledger.flush()
    return true
  }

  /// Submits what fits, lets the labeller work, records what it hands back.
  ///
  /// - Throws: what the device, the reader or the ledger reports; a bad row is recorded instead.
  public func step() throws {
    while inFlight.count < max(1, labeller.capacity) {
      if queue.isEmpty { try readWindow() }
      guard let work = queue.popFirst() else { break }
      inFlight[work.row] = work
      try labeller.submit(work)
    }
    guard !inFlight.isEmpty else { return }
    for result in try labeller.step() {
      guard let work = inFlight.removeValue(forKey: result.row) else {
        throw RetortError(
          .deviceFailure, "row \(result.row + 1) was handed back without having been asked for",
          remedy: "Report this; the ledger holds what was finished before.")
      }
      switch result.outcome {
      case .success(let record): try finish(work, record)
      case .failure(let error):
        try fail(work.row, RowError(line: work.line, pairID: work.pair.pairID, reason: error))
      }
    }
  }

  private func finish(_ work: PairWork, _ record: LabelRecord) throws {
    let label = record.label.name
    try ledger.recordDone(
      row: work.row, json: record.json, label: label, generatedTokens: record.generatedTokens)
    current.done += 1
    current.finishedNow += 1
    current.tokensNow += record.generatedTokens
    current.jumpedNow += record.jumpedTokens
    if record.isTruncated { current.truncatedNow += 1 }
    current.labels[label, default: 0] += 1
  }

  private func fail(_ row: Int, _ error: RowError) throws {
    try ledger.recordFailed(row: row, json: error.json)
    current.failed += 1
    current.finishedNow += 1
  }

  /// Reads until a window of unfinished pairs is full or the input ends.
  private func readWindow() throws {
    var window = JobWindow(maximumRows: settings.window)
    while !isExhausted, !window.isFull { try readStretch(into: &window) }
    queue = window.sortedByQuery()[...]
    if isExhausted {
      current.total = jobRows
    }
  }

  /// Reads some rows, then asks the ledger once which of them are finished.
  private func readStretch(into window: inout JobWindow) throws {
    var stretch = JobWindow(maximumRows: window.maximumRows - window.rows.count)
    var problems: [(row: Int, error: RowError)] = []
    let first = rowsRead
    // A stretch ends in any case: errors and other shards' rows do not fill it.
    while !stretch.isFull, problems.count < stretch.maximumRows, rowsRead - first < 1 << 16 {
      guard rowsRead < settings.limit ?? .max, let row = try reader.next() else {
        isExhausted = true
        break
      }
      let number = rowsRead
      rowsRead += 1
      if let shard = settings.shard, !shard.contains(row, number: number) { continue }
      jobRows += 1
      switch row {
      case .error(let error): problems.append((number, error))
      case .pair(let pair, let line): stretch.add(PairWork(row: number, line: line, pair: pair))
      }
    }
    let finished = try ledger.finishedRows(in: first..<rowsRead)
    for problem in problems where !finished.contains(problem.row) { try fail(problem.row, problem.error) }
    for work in stretch.rows where !finished.contains(work.row) { window.add(work) }
  }
}
