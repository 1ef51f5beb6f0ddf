import Basics

/// A timeline in the Trace Event Format, as chrome://tracing and Perfetto load it: complete events ("ph": "X") on
/// named rows of one process.
///
/// Source: "Trace Event Format", the Chromium project.
public struct ChromeTrace: Sendable {
  /// A stretch of a program's own, beside what its backend did.
  public struct Phase: Sendable {
    public let name: String
    public let startNanoseconds: UInt64
    public let nanoseconds: UInt64
    public let counts: KeyValuePairs<String, Int>

    public init(
      name: String, startNanoseconds: UInt64, nanoseconds: UInt64,
      counts: KeyValuePairs<String, Int> = [:]
    ) {
      (self.name, self.counts) = (name, counts)
      (self.startNanoseconds, self.nanoseconds) = (startNanoseconds, nanoseconds)
    }
  }

  private var lines: [String] = []
  /// The clock's reading that becomes time 0.
  private let origin: UInt64

  /// - Parameter originNanoseconds: what event starts count from; earlier events begin at 0.
  public init(originNanoseconds: UInt64) { origin = originNanoseconds }

  /// Names a row of the timeline.
  public mutating func name(row: Int, process: Int = 1, _ name: String) {
    add(name: name, to: "\"name\":\"thread_name\",\"pid\":\(process),\"tid\":\(row)")
  }

  /// Names a process, under which its rows stand together.
  public mutating func name(process: Int, _ name: String) {
    add(name: name, to: "\"name\":\"process_name\",\"pid\":\(process)")
  }

  private mutating func add(name: String, to what: String) {
    lines.append("{\"ph\":\"M\",\(what),\"args\":{\"name\":\(JSONText.quoted(name))}}")
  }

  /// Adds an event; `counts` stand with it when it is selected.
  public mutating func add(
    _ name: String, row: Int, process: Int = 1, startNanoseconds: UInt64, nanoseconds: UInt64,
    counts: KeyValuePairs<String, Int> = [:]
  ) {
    let start = startNanoseconds - min(startNanoseconds, origin)
    var line = "{\"ph\":\"X\",\"name\":\(JSONText.quoted(name)),\"pid\":\(process),\"tid\":\(row)"
    line += ",\"ts\":\(Self.microseconds(start)),\"dur\":\(Self.microseconds(nanoseconds))"
    if !counts.isEmpty {
      line += ",\"args\":{"
      line += counts.map { "\(JSONText.quoted($0.key)):\($0.value)" }.joined(separator: ",") + "}"
    }
    lines.append(line + "}")
  }

  /// Adds what a profiler kept: a process with rows for the program's phases, the host's operations, its waits, and
  /// the device; each row in the order of time.
  public mutating func add(_ profiler: Profiler, phases: [Phase] = [], process: Int = 1, name: String) {
    self.name(process: process, name)
    if !phases.isEmpty { self.name(row: 1, process: process, "phases") }
    for phase in phases.sorted(by: { $0.startNanoseconds < $1.startNanoseconds }) {
      add(
        phase.name, row: 1, process: process, startNanoseconds: phase.startNanoseconds,
        nanoseconds: phase.nanoseconds, counts: phase.counts)
    }
    let tracks: [(Profiler.Event.Track, String)] = [
      (.operation, "operations on the host"), (.wait, "host waits"), (.device, "device"),
    ]
    for (row, (track, title)) in tracks.enumerated() {
      let events = profiler.events.filter { $0.track == track }
      guard !events.isEmpty else { continue }
      self.name(row: row + 2, process: process, title)
      for event in events.sorted(by: { $0.startNanoseconds < $1.startNanoseconds }) {
        add(
          event.name, row: row + 2, process: process, startNanoseconds: event.startNanoseconds,
          nanoseconds: event.nanoseconds, counts: ["flops": event.flops, "bytes": event.bytes])
      }
    }
  }

  /// The whole trace as JSON.
  public var json: String {
    "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n" + lines.joined(separator: ",\n") + "\n]}\n"
  }

  /// The format counts in microseconds; three decimals keep every nanosecond.
  private static func microseconds(_ nanoseconds: UInt64) -> String {
    let fraction = String(nanoseconds % 1000)
    return "\(nanoseconds / 1000)." + String(repeating: "0", count: 3 - fraction.count) + fraction
  }
}
