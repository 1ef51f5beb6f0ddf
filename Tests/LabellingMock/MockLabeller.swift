import Basics
import Foundation
import Labelling
import Relevance

/// Labels pairs by a hash of their texts, handing results back in a shuffled order.
public final class MockLabeller: PairLabeller {
  public let capacity: Int
  /// Rows in the order they were submitted.
  public private(set) var submitted: [Int] = []
  public private(set) var mostInFlight = 0
  private let delayMicroseconds: UInt32
  private let keepsRows: Bool
  private var held: [PairWork] = []
  private var state: UInt64

  /// - Parameters:
  ///   - delayMicroseconds: what a pair takes.
  ///   - seed: of the order in which results come.
  ///   - keepsRows: whether to fill ``submitted``, which grows with the job.
  public init(capacity: Int = 32, delayMicroseconds: UInt32 = 0, seed: UInt64 = 1, keepsRows: Bool = true) {
    self.capacity = capacity
    self.delayMicroseconds = delayMicroseconds
    self.keepsRows = keepsRows
    state = seed
  }

  public func submit(_ work: PairWork) {
    if keepsRows { submitted.append(work.row) }
    held.append(work)
    mostInFlight = max(mostInFlight, held.count)
  }

  public func step() throws -> [PairResult] {
    guard !held.isEmpty else { return [] }
    if delayMicroseconds > 0 { usleep(delayMicroseconds) }
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    let index = Int(state >> 33) % held.count
    held.swapAt(index, held.count - 1)
    return try held.popLast().map { [try MockLabeller.result($0)] } ?? []
  }

  /// The result that a pair has whatever its company; titles with `fail` fail.
  public static func result(_ work: PairWork) throws -> PairResult {
    let pair = work.pair
    if pair.title.contains("fail") {
      return PairResult(
        row: work.row, outcome: .failure(RetortError(.contextOverflow, "too long", remedy: "Shorten it.")))
    }
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in pair.query.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    for byte in pair.title.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    let weights = (0..<3).map { Double(hash >> (UInt64($0) * 16) & 0xFFFF) + 1 }
    let total = weights.reduce(0, +)
    let distribution = try LabelDistribution(labels: .standard, probabilities: weights.map { $0 / total })
    return PairResult(
      row: work.row,
      outcome: .success(
        LabelRecord(
          pair: pair, distribution: distribution, rationaleText: "Asks: \"\(pair.query)\",\nin two lines",
          rationale: nil, promptTokens: 10, generatedTokens: 5, model: "mock", promptHash: "p")))
  }
}
