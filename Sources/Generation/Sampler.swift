import Basics
import Foundation
import Tensors

/// Chooses a token from the highest logits of a row.
///
/// Order as in Hugging Face transformers: penalty, temperature, top-k, top-p, min-p.
struct Sampler: Sendable {
  /// A chosen token, or the number of candidates needed to choose exactly.
  enum Outcome: Equatable {
    case token(Int32)
    case needsCandidates(Int)
  }

  static let firstCandidates = 256

  /// Candidates to ask for at first.
  static func candidates(for parameters: SamplingParameters) -> Int {
    if parameters.temperature == 0 || parameters.isUntruncated { return 1 }
    return parameters.topK > 0 ? parameters.topK : firstCandidates
  }

  /// - Parameters:
  ///   - step: how many tokens were generated before; with the seed it alone decides the draw.
  ///   - vocabularySize: candidates are exhausted at this number.
  static func sample(
    _ row: LogProbabilityRow, _ parameters: SamplingParameters, step: Int, vocabularySize: Int
  ) -> Outcome {
    guard let first = row.topIDs.first else { return .needsCandidates(1) }
    if parameters.temperature == 0 { return .token(first) }
    let inverse = 1 / Double(parameters.temperature)
    let logSum = Double(row.logSumExpAtTemperature)
    var weights = row.topLogits.map { Foundation.exp(Double($0) * inverse - logSum) }
    let isTopK = parameters.topK > 0 && row.topIDs.count >= min(parameters.topK, vocabularySize)
    let isAll = isTopK || row.topIDs.count >= vocabularySize
    // With top-k the kept tokens are renormalised before top-p; without it the whole vocabulary counts.
    let mass = isTopK ? weights.reduce(0, +) : 1
    var count = weights.count
    var isCut = false
    if parameters.topP < 1 {
      var sum = 0.0
      for (index, weight) in weights.enumerated() {
        sum += weight / mass
        if sum >= Double(parameters.topP) {
          count = index + 1
          isCut = true
          break
        }
      }
    }
    if parameters.minP > 0 {
      let floor = weights[0] * Double(parameters.minP)
      if let index = weights.prefix(count).firstIndex(where: { $0 < floor }) {
        count = index
        isCut = true
      }
    }
    guard isCut || isAll else { return .needsCandidates(min(vocabularySize, row.topIDs.count * 8)) }
    weights.removeLast(weights.count - count)
    var target = Philox(key: parameters.seed).uniform(UInt64(step), 1) * weights.reduce(0, +)
    for (index, weight) in weights.enumerated() {
      target -= weight
      if target < 0 { return .token(row.topIDs[index]) }
    }
    return .token(row.topIDs[count - 1])
  }
}
