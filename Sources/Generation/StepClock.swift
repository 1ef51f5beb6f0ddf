import Dispatch
import Tensors

/// Measures an engine's steps by phase: it stands between the engine and its runner and sees when the model starts
/// and ends and when logits are read.
///
/// On a device that runs behind the host, the model's time shows up as waiting in the read-back; what a profiler
/// counts as attention there is taken out of it. Not thread-safe: the task that owns the engine owns it.
public final class StepClock: StepRunner, @unchecked Sendable {
  /// A stretch of a step, for a timeline.
  public struct Span: Sendable, Hashable {
    public let name: String
    public let startNanoseconds: UInt64
    public let nanoseconds: UInt64
    /// Rows of the step.
    public let rows: Int
  }

  public private(set) var times = PhaseTimes()
  /// What steps did and when, where ``keepsSpans``.
  public private(set) var spans: [Span] = []
  public let keepsSpans: Bool

  private let runner: any StepRunner
  private let now: @Sendable () -> UInt64
  private let attention: @Sendable () -> UInt64
  private var step = Step()

  private struct Step {
    var start: UInt64 = 0
    var run: (start: UInt64, end: UInt64)?
    var attention: UInt64 = 0
    /// Attention so far when the model's call had returned.
    var attended: UInt64 = 0
    var rows = 0
    var reads: [(start: UInt64, end: UInt64)] = []
  }

  /// - Parameters:
  ///   - attention: nanoseconds of attention so far, as a profiler counts them; constant where nobody does.
  ///   - now: a clock in nanoseconds that never runs backwards.
  public init(
    _ runner: any StepRunner, keepsSpans: Bool = false, attention: @escaping @Sendable () -> UInt64 = { 0 },
    now: @escaping @Sendable () -> UInt64 = { DispatchTime.now().uptimeNanoseconds }
  ) {
    self.runner = runner
    self.keepsSpans = keepsSpans
    self.attention = attention
    self.now = now
  }

  public var vocabularySize: Int { runner.vocabularySize }

  public func run(_ batch: BatchMetadata, outputRows: [Int32]) throws -> any StepLogits {
    let (start, attended) = (now(), attention())
    let logits = try runner.run(batch, outputRows: outputRows)
    step.run = (start, now())
    step.attention = attention() - attended
    step.attended = attention()
    step.rows = batch.tokenIDs.count
    return ClockedLogits(logits: logits, clock: self)
  }

  /// Measures preparation outside of steps.
  public func prepare<T>(_ body: () throws -> T) rethrows -> T {
    let start = now()
    defer { times.add(now() - start, to: .prompts) }
    return try body()
  }

  /// Measures a step of the engine. `tokens` gives the engine's counts of tokens so far; what the step adds to them
  /// divides the model's time.
  public func measure<T>(_ tokens: () -> (prefill: Int, decode: Int), _ body: () throws -> T) rethrows -> T {
    let before = tokens()
    step = Step()
    step.start = now()
    let result = try body()
    let end = now()
    let after = tokens()
    close(end, prefill: after.prefill - before.prefill, decode: after.decode - before.decode)
    return result
  }

  private func close(_ end: UInt64, prefill: Int, decode: Int) {
    guard let run = step.run else {
      // Nothing ran: the scheduler had nothing, or only failures to report.
      return times.add(end - step.start, to: .schedule)
    }
    times.add(run.start - step.start, to: .schedule)
    times.addModel(
      nanoseconds: run.end - run.start, attention: step.attention, prefillRows: prefill, decodeRows: decode)
    let reading = step.reads.reduce(0) { $0 + ($1.end - $1.start) }
    // Of a device that runs behind the host, attention becomes known, and is waited for, while results are read.
    let behind = min(attention() - step.attended, reading)
    times.add(behind, to: .attention)
    times.add(reading - behind, to: .readBack)
    // What lies between the model and the first read is what rows are asked for: masks are made there.
    let masked = step.reads.first?.start ?? run.end
    times.add(masked - run.end, to: .mask)
    times.add(end - masked - reading, to: .sample)
    guard keepsSpans else { return }
    keep("schedule", step.start, run.start)
    keep(decode == 0 ? "prefill" : prefill == 0 ? "decode" : "prefill and decode", run.start, run.end)
    if masked > run.end { keep("mask", run.end, masked) }
    for read in step.reads { keep("read-back", read.start, read.end) }
    keep("sample", step.reads.last?.end ?? run.end, end)
  }

  private func keep(_ name: String, _ start: UInt64, _ end: UInt64) {
    spans.append(Span(name: name, startNanoseconds: start, nanoseconds: end - start, rows: step.rows))
  }

  fileprivate func reading<T>(_ body: () throws -> T) rethrows -> T {
    let start = now()
    defer { step.reads.append((start, now())) }
    return try body()
  }

  private struct ClockedLogits: StepLogits {
    let logits: any StepLogits
    let clock: StepClock

    func read(_ requests: [LogProbabilityRequest]) throws -> [LogProbabilityRow] {
      try clock.reading { try logits.read(requests) }
    }

    func gumbelArgmax(
      temperatures: [Float], keys: [UInt64], positions: [UInt64], allowed: [AllowedTokens?]
    ) throws -> [Int32] {
      try clock.reading {
        try logits.gumbelArgmax(
          temperatures: temperatures, keys: keys, positions: positions, allowed: allowed)
      }
    }
  }
}
