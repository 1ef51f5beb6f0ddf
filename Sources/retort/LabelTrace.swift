import Basics
import Tensors

/// A measurement as a timeline: a row of the engine's phases, a row of operations.
enum LabelTrace {
  /// - Throws: `fileUnavailable` where the file cannot be written.
  static func write(_ measured: LabelMeasurement, to path: String) throws {
    var trace = ChromeTrace(originNanoseconds: measured.startNanoseconds)
    trace.name(row: 1, "engine")
    trace.name(row: 2, "operations")
    for span in measured.spans {
      trace.add(
        span.name, row: 1, startNanoseconds: span.startNanoseconds, nanoseconds: span.nanoseconds,
        counts: ["rows": span.rows])
    }
    for event in measured.profiler?.events ?? [] {
      trace.add(
        event.name, row: 2, startNanoseconds: event.startNanoseconds, nanoseconds: event.nanoseconds,
        counts: ["flops": event.flops, "bytes": event.bytes])
    }
    let file = try AtomicFile(path: path)
    try file.write(trace.json)
    try file.commit()
  }
}
