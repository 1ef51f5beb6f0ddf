import Foundation

/// Set by Control-C and by a request to end; a second one ends the process at once.
final class StopSignal: Sendable {
  private nonisolated(unsafe) static var raised: sig_atomic_t = 0

  init() {
    for number in [SIGINT, SIGTERM] {
      signal(number) { number in
        StopSignal.raised = 1
        signal(number, SIG_DFL)
      }
    }
  }

  var isSet: Bool { Self.raised != 0 }
}
