import ArgumentParser
import Foundation

/// Set by Control-C, by a request to end, and by a time limit; a second signal ends the process at once.
final class StopSignal: Sendable {
  private nonisolated(unsafe) static var raised: sig_atomic_t = 0
  private let deadline: UInt64?

  /// - Parameter timeLimit: seconds from now; none where nil.
  init(timeLimit: Double? = nil) {
    deadline = timeLimit.map { DispatchTime.now().uptimeNanoseconds + UInt64($0 * 1e9) }
    for number in [SIGINT, SIGTERM] {
      signal(number) { number in
        StopSignal.raised = 1
        signal(number, SIG_DFL)
      }
    }
  }

  var isSet: Bool { isSignalled || isLate }

  private var isSignalled: Bool { Self.raised != 0 }
  private var isLate: Bool { deadline.map { DispatchTime.now().uptimeNanoseconds >= $0 } ?? false }

  /// Why the run stops, for people.
  var reason: String { isSignalled ? "interrupted" : "stopped at the time limit" }

  /// 130 for a signal, as shells have it; 75 (EX_TEMPFAIL: the same command goes on) for the time limit.
  var exitCode: ExitCode { isSignalled ? ExitCode(130) : ExitCode(75) }
}

/// The option of long commands that can be resumed.
struct TimeLimitOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Stop after so many seconds with everything finished kept, and exit with 75.", valueName: "seconds"))
  var timeLimit: Double?

  func validate() throws {
    if let timeLimit, !(timeLimit > 0 && timeLimit <= 1e9) {
      throw ValidationError("--time-limit must be above 0 and at most 1e9.")
    }
  }
}
