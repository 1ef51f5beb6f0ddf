import Foundation
import Tensors

/// Times work that a backend queues: waits once a round, so that the cost of a launch shows only where it is real.
struct BenchClock {
  /// Seconds that all rounds together may take, about.
  var budgetSeconds = 0.6
  /// Rounds at most; the fastest counts.
  var rounds = 5

  /// What an operation takes, and what its description counts.
  struct Reading {
    let seconds: Double
    let flops: Int
    let bytes: Int

    var fields: [String: Any] {
      [
        "seconds": seconds, "gflops": Double(flops) / seconds / 1e9,
        "gigabytes_per_second": Double(bytes) / seconds / 1e9,
      ]
    }

    var text: String {
      String(
        format: "%10.4f ms %10.1f GFLOP/s %9.1f GB/s\n", seconds * 1e3, Double(flops) / seconds / 1e9,
        Double(bytes) / seconds / 1e9)
    }
  }

  /// - Throws: what `body` throws.
  func measure(_ backend: any Backend, _ body: () throws -> Void) throws -> Reading {
    // The first run builds kernels and tells what the operation counts.
    let profiler = Profiler()
    backend.profiler = profiler
    try body()
    backend.profiler = nil
    try backend.synchronize()
    let total = profiler.totals.values.reduce(into: (0, 0)) {
      $0.0 += $1.flops
      $0.1 += $1.bytes
    }
    let once = try time(backend, 1, body)
    let calls = max(1, min(500, Int(budgetSeconds / Double(rounds) / max(once, 1e-6))))
    var best = once
    for _ in 0..<(once > budgetSeconds ? 1 : rounds) { best = min(best, try time(backend, calls, body)) }
    return Reading(seconds: best, flops: total.0, bytes: total.1)
  }

  private func time(_ backend: any Backend, _ calls: Int, _ body: () throws -> Void) throws -> Double {
    let start = DispatchTime.now().uptimeNanoseconds
    for _ in 0..<calls { try body() }
    try backend.synchronize()
    return Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9 / Double(calls)
  }

  /// Random numbers between −1 and 1 that repeat after a mebi, for inputs whose values do not matter.
  static func numbers(_ count: Int) -> [Float] {
    let random = RandomWeights(seed: 1, deviation: 0.577)
    var piece = [Float](repeating: 0, count: min(count, 1 << 20))
    piece.withUnsafeMutableBytes { random.fill($0, dtype: .f32, first: 0, count: $0.count / 4) }
    return [Float](unsafeUninitializedCapacity: count) { values, filled in
      for place in 0..<count { values[place] = piece[place & (1 << 20 - 1)] }
      filled = count
    }
  }
}
