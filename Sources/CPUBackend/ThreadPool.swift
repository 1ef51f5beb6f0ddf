import CKernels

/// Swift's face of the C pool: parked threads that share out the tasks of one operation.
final class ThreadPool: @unchecked Sendable {
  private let handle: OpaquePointer
  let threads: Int

  init?(threads: Int) {
    guard let handle = rk_pool_create(Int32(threads)) else { return nil }
    self.handle = handle
    self.threads = Int(rk_pool_threads(handle))
  }

  deinit { rk_pool_destroy(handle) }

  /// Runs `body(task, thread)` for tasks `0..<count` and returns when all are done.
  func run(_ count: Int, _ body: (_ task: Int, _ thread: Int) -> Void) {
    // The calling thread works too, and need not be the one that made the backend.
    rk_openmp_single_thread()
    guard count > 1, threads > 1 else {
      for task in 0..<max(count, 0) { body(task, 0) }
      return
    }
    withoutActuallyEscaping(body) { escaping in
      var closure = Closure(body: escaping)
      withUnsafeMutablePointer(to: &closure) { pointer in
        rk_pool_run(
          handle, Int32(count),
          { context, task, thread in
            context?.assumingMemoryBound(to: Closure.self).pointee.body(Int(task), Int(thread))
          }, UnsafeMutableRawPointer(pointer))
      }
    }
  }

  private struct Closure { let body: (Int, Int) -> Void }

  /// Splits `count` rows into about four shares a thread and runs `body` on each range.
  func forRanges(_ count: Int, minimum: Int = 1, _ body: (Range<Int>) -> Void) {
    let share = max(minimum, (count + threads * 4 - 1) / (threads * 4))
    let tasks = (count + share - 1) / max(share, 1)
    run(tasks) { task, _ in body(task * share..<min(count, (task + 1) * share)) }
  }
}
