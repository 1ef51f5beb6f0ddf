import Basics
import Foundation
import Tensors

extension Reference {
  /// What ``LogProbabilityRow`` should hold, in Float64.
  public struct LogProbabilities: Sendable {
    public var topIDs: [Int32]
    public var topLogits: [Double]
    public var logSumExp: Double
    public var logSumExpAtTemperature: Double
    public var chosen: [Double]
  }

  /// One row's log-probabilities: penalty first (each named token once), then everything else.
  public static func logProbabilities(_ logits: [Float], _ request: LogProbabilityRequest) -> LogProbabilities
  {
    var penalized = logits.doubles
    for id in Set(request.penalized) {
      let value = penalized[Int(id)]
      let penalty = Double(request.repetitionPenalty)
      penalized[Int(id)] = value > 0 ? value / penalty : value * penalty
    }
    if let allowed = request.allowed {
      for id in penalized.indices where !allowed.contains(Int32(id)) { penalized[id] = -.infinity }
    }
    let order = penalized.indices.filter { request.allowed?.contains(Int32($0)) ?? true }.sorted { a, b in
      penalized[a] != penalized[b] ? penalized[a] > penalized[b] : a < b
    }
    let top = order.prefix(request.topCount)
    let sum = logSumExp(penalized)
    return LogProbabilities(
      topIDs: top.map { Int32($0) }, topLogits: top.map { penalized[$0] }, logSumExp: sum,
      logSumExpAtTemperature: logSumExp(penalized.map { $0 / Double(request.temperature) }),
      chosen: request.chosen.map { penalized[Int($0)] - sum })
  }

  static func logSumExp(_ x: [Double]) -> Double {
    let highest = x.max() ?? 0
    // Minus infinity everywhere is no number less itself.
    if highest == -.infinity { return highest }
    return highest + log(x.reduce(0) { $0 + exp($1 - highest) })
  }

  /// Per id `logit / temperature − log(−log u)`, u drawn from Philox with counter (id, position).
  /// A masked id has −∞.
  public static func gumbelScores(
    _ logits: [Float], temperature: Float, key: UInt64, position: UInt64, allowed: AllowedTokens? = nil
  ) -> [Double] {
    let philox = Philox(key: key)
    return logits.enumerated().map { id, logit in
      guard allowed?.contains(Int32(id)) ?? true else { return -.infinity }
      return Double(logit) / Double(temperature) - log(-log(philox.uniform(UInt64(id), position)))
    }
  }
}
