import Basics

/// A timeline in the Trace Event Format, as chrome://tracing and Perfetto load it: complete events ("ph": "X") on
/// named rows of one process.
///
/// Source: "Trace Event Format", the Chromium project.
public struct ChromeTrace: Sendable {
  private var lines: [String] = []
  /// The clock's reading that becomes time 0.
  private let origin: UInt64

  /// - Parameter originNanoseconds: what event starts count from; earlier events begin at 0.
  public init(originNanoseconds: UInt64) { origin = originNanoseconds }

  /// Names a row of the timeline.
  public mutating func name(row: Int, _ name: String) {
    lines.append(
      "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":1,\"tid\":\(row),\"args\":{\"name\":\(JSONText.quoted(name))}}"
    )
  }

  /// Adds an event; `counts` stand with it when it is selected.
  public mutating func add(
    _ name: String, row: Int, startNanoseconds: UInt64, nanoseconds: UInt64,
    counts: KeyValuePairs<String, Int> = [:]
  ) {
    let start = startNanoseconds - min(startNanoseconds, origin)
    var line = "{\"ph\":\"X\",\"name\":\(JSONText.quoted(name)),\"pid\":1,\"tid\":\(row)"
    line += ",\"ts\":\(Self.microseconds(start)),\"dur\":\(Self.microseconds(nanoseconds))"
    if !counts.isEmpty {
      line += ",\"args\":{"
      line += counts.map { "\(JSONText.quoted($0.key)):\($0.value)" }.joined(separator: ",") + "}"
    }
    lines.append(line + "}")
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
