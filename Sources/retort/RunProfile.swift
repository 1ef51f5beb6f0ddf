import ArgumentParser
import Basics
import Foundation
import Synchronization
import Tensors

/// What `--profile` and `--trace` take of every command that runs on a device.
///
/// ``RunOptions/makeBackend()`` puts a backend in; after the command its profile is printed. Nothing that a command
/// computes depends on it.
struct ProfileOptions: ParsableArguments {
  @Flag(
    inversion: .prefixedNo,
    help: """
      Print a table of kernels (on the CPU: of operations) at the end: calls, time, rates beside the device's \
      ceilings, waits. Loading is not counted.
      """)
  var profile: Bool?

  @Option(
    help: ArgumentHelp(
      "Write a timeline of host and device for chrome://tracing or Perfetto to this file.", valueName: "file")
  )
  var trace: String?

  /// Calls that a trace keeps: some 150 MB of JSON.
  static let traceEvents = 1_000_000

  /// Whether the run is profiled; `otherwise` decides where nothing was said.
  func isOn(otherwise: Bool = false) -> Bool { profile ?? (trace != nil || otherwise) }

  func makeProfiler() -> Profiler { Profiler(eventLimit: trace == nil ? 0 : Self.traceEvents) }

  func validate() throws {
    if trace != nil, profile == false { throw ValidationError("--trace needs --profile.") }
  }
}

/// The backends of this process that are profiled.
final class RunProfile: Sendable {
  static let shared = RunProfile()

  private struct Entry {
    let backend: any Backend
    let profiler: Profiler
    let options: ProfileOptions
    let json: Bool
  }

  private let entries = Mutex<[Entry]>([])

  /// Profiles everything that the backend runs from here on.
  func attach(_ backend: any Backend, _ options: ProfileOptions, json: Bool) {
    let profiler = options.makeProfiler()
    entries.withLock {
      $0.append(Entry(backend: backend, profiler: profiler, options: options, json: json))
    }
    backend.profiler = profiler
  }

  /// Prints the profiles of what ran: tables to standard error, with `--json` an object to standard output, on a
  /// line of its own after the command's; writes the trace.
  ///
  /// - Throws: what writing the trace throws.
  func finish() throws {
    let entries = entries.withLock { entries in
      defer { entries = [] }
      return entries
    }
    for entry in entries { entry.backend.profiler = nil }
    let used = entries.filter { $0.profiler.span != nil }
    guard let first = used.first else { return }
    if let path = first.options.trace {
      let sources = used.map { ProfileTrace.Source(name: $0.backend.device.name, profiler: $0.profiler) }
      try ProfileTrace.write(sources, to: path)
    }
    guard first.options.isOn() else { return }
    let reports = used.map { entry in
      ProfileReport(
        entry.profiler, device: entry.backend.device.name, ceilings: Ceilings.measured(on: entry.backend))
    }
    if first.json {
      return Output.write(try Output.json(["profiles": reports.map(\.object)]))
    }
    for report in reports { Output.note("\n" + report.text.trimmingCharacters(in: .newlines)) }
  }
}

/// Profiles as a timeline: a process for each backend.
enum ProfileTrace {
  struct Source {
    let name: String
    let profiler: Profiler
    /// Stretches of the command's own.
    var phases: [ChromeTrace.Phase] = []
  }

  /// - Throws: `fileUnavailable` where the file cannot be written.
  static func write(_ sources: [Source], to path: String) throws {
    var trace = ChromeTrace(originNanoseconds: sources.compactMap { $0.start }.min() ?? 0)
    for (index, source) in sources.enumerated() {
      trace.add(source.profiler, phases: source.phases, process: index + 1, name: source.name)
    }
    let file = try AtomicFile(path: path)
    try file.write(trace.json)
    try file.commit()
    let dropped = sources.reduce(0) { $0 + $1.profiler.droppedEvents }
    if dropped > 0 {
      Output.note("the trace lacks the last \(dropped) calls; make a shorter run for a whole one")
    }
  }
}

extension ProfileTrace.Source {
  fileprivate var start: UInt64? {
    ([profiler.span?.start] + phases.map(\.startNanoseconds)).compactMap { $0 }.min()
  }
}
