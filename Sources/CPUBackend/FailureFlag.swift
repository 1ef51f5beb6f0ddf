import COneDNN
import Synchronization

/// Set by any task that fails; read when all are done.
final class FailureFlag: Sendable {
  private let flag = Atomic<Bool>(false)

  func raise() { flag.store(true, ordering: .relaxed) }
  var isRaised: Bool { flag.load(ordering: .relaxed) }
}

let dnnlRuntimeError = dnnl_runtime_error
