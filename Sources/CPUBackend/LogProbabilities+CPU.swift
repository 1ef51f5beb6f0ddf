import Basics
import CKernels
import Foundation
import Synchronization
import Tensors

extension CPUBackend {
  public func logProbabilities(_ logits: Tensor, _ requests: [LogProbabilityRequest]) throws
    -> [LogProbabilityRow]
  {
    let operation = try LogProbabilities(logits.shape, requests: requests)
    let source = try floats(logits)
    let width = logits.width
    let rows = Mutex([LogProbabilityRow?](repeating: nil, count: requests.count))
    // One row a thread, from the pool: fresh memory would be paged in at every step.
    let masked = try requests.contains { $0.allowed != nil } ? allocate([pool.threads, width], .f32) : nil
    let scratch = try masked.map { try floats($0) }
    measured(operation) {
      pool.run(requests.count) { index, thread in
        let row = CPUBackend.logProbabilityRow(
          source + index * logits.rowStride, width: width, requests[index],
          scratch: scratch.map { $0 + thread * width })
        rows.withLock { $0[index] = row }
      }
    }
    return rows.withLock { $0.compactMap { $0 } }
  }

  private static func logProbabilityRow(
    _ logits: UnsafePointer<Float>, width: Int, _ request: LogProbabilityRequest,
    scratch: UnsafeMutablePointer<Float>?
  ) -> LogProbabilityRow {
    var penalized: [Float] = []
    if request.repetitionPenalty != 1, !request.penalized.isEmpty {
      penalized = Array(UnsafeBufferPointer(start: logits, count: width))
      for id in Set(request.penalized) {
        let value = penalized[Int(id)]
        penalized[Int(id)] =
          value > 0 ? value / request.repetitionPenalty : value * request.repetitionPenalty
      }
    }
    return penalized.withUnsafeBufferPointer { copy in
      // An empty array's buffer may have a base address all the same.
      var x = copy.isEmpty ? logits : copy.baseAddress ?? logits
      if let allowed = request.allowed, let scratch {
        rk_mask(x, allowed.words, scratch, Int32(width))
        x = UnsafePointer(scratch)
      }
      let best = rk_max(x, Int32(width))
      // Where all logits are −∞ their exponentials add up to 0.
      let base = best == -.infinity ? 0 : best
      let sum = Foundation.log(rk_sum_exp(x, Int32(width), base, 1)) + Double(base)
      var sumAtTemperature = sum
      if request.temperature != 1 {
        let inverse = 1 / request.temperature
        sumAtTemperature =
          Foundation.log(rk_sum_exp(x, Int32(width), base, inverse)) + Double(base) * Double(inverse)
      }
      var top = topIDs(
        x, width: width, count: min(request.topCount, request.allowed?.count ?? width), best: best)
      // Only where an allowed logit is −∞ itself can a masked one stand beside it.
      if let allowed = request.allowed { top.removeAll { !allowed.contains($0) } }
      return LogProbabilityRow(
        topIDs: top, topLogits: top.map { x[Int($0)] }, logSumExp: Float(sum),
        logSumExpAtTemperature: Float(sumAtTemperature),
        chosenLogProbabilities: request.chosen.map { Float(Double(x[Int($0)]) - sum) })
    }
  }

  /// The ids of the `count` highest values, highest first, ties to the lower id.
  ///
  /// The count-th highest of the maxima of 64-element runs bounds the count-th highest value from below, so
  /// one more pass collects few candidates to sort.
  private static func topIDs(_ x: UnsafePointer<Float>, width: Int, count: Int, best: Float) -> [Int32] {
    guard count > 0 else { return [] }
    if count == 1 {
      for index in 0..<width where x[index] == best { return [Int32(index)] }
      return [0]
    }
    let run = 64
    var threshold = -Float.infinity
    if count <= width / run {
      var maxima = stride(from: 0, to: width, by: run).map { rk_max(x + $0, Int32(min(run, width - $0))) }
      maxima.sort(by: >)
      threshold = maxima[count - 1]
    }
    var candidates = [Int32](repeating: 0, count: width)
    let found = Int(rk_collect_above(x, Int32(width), threshold, &candidates, Int32(width)))
    candidates.removeLast(width - found)
    candidates.sort { x[Int($0)] != x[Int($1)] ? x[Int($0)] > x[Int($1)] : $0 < $1 }
    return Array(candidates.prefix(count))
  }

  public func gumbelArgmax(
    _ logits: Tensor, temperatures: [Float], keys: [UInt64], positions: [UInt64], allowed: [AllowedTokens?]
  ) throws -> [Int32] {
    let requests = try LogProbabilityRequest.sampling(temperatures, allowed: allowed)
    let operation = try LogProbabilities(logits.shape, requests: requests)
    guard keys.count == requests.count, positions.count == requests.count else {
      throw RetortError(
        .shapeMismatch, "\(keys.count) keys and \(positions.count) positions for \(requests.count) rows",
        remedy: "Give one key and one position a row.")
    }
    let source = try floats(logits)
    let ids = Mutex([Int32](repeating: 0, count: requests.count))
    measured(operation) {
      pool.run(requests.count) { row, _ in
        let x = source + row * logits.rowStride
        let noise = Philox(key: keys[row])
        var bestID: Int32 = 0
        var best = -Double.infinity
        let mask = requests[row].allowed
        for id in 0..<logits.width {
          if let mask, !mask.contains(Int32(id)) { continue }
          let gumbel = -Foundation.log(-Foundation.log(noise.uniform(UInt64(id), positions[row])))
          let value = Double(x[id]) / Double(temperatures[row]) + gumbel
          if value > best {
            best = value
            bestID = Int32(id)
          }
        }
        ids.withLock { $0[row] = bestID }
      }
    }
    return ids.withLock { $0 }
  }
}
