import Basics
import Foundation
import Tensors
import TestSupport

@testable import Generation

/// A model whose "cache" holds token ids: logits are a hash of the tokens that the block table shows, so a wrong
/// table, a lost token or an overwritten block changes what comes out.
///
/// As a real key depends on all tokens before it, each slot also holds a hash of its whole prefix; a row that sees a
/// slot which was computed behind another prefix, or a step that writes a slot twice, throws.
final class FakeRunner: StepRunner, @unchecked Sendable {
  let vocabularySize: Int
  private let blockSize: Int
  private var cache: [Int32]
  private var prefixes: [UInt64]
  /// Thrown once, after the cache was written in part.
  var failure: RetortError?
  /// Puts a value into each row of logits that is read.
  var poison: Float?
  /// Largest number of rows and of sequences in a step.
  private(set) var mostRows = 0
  private(set) var mostSequences = 0

  init(vocabularySize: Int = 61, limits: Engine.Limits) {
    self.vocabularySize = vocabularySize
    blockSize = limits.blockSize
    let blocks = max(1, (limits.cacheTokens + limits.blockSize - 1) / limits.blockSize)
    cache = [Int32](repeating: -1, count: blocks * limits.blockSize)
    prefixes = [UInt64](repeating: 0, count: cache.count)
  }

  func run(_ batch: BatchMetadata, outputRows: [Int32]) throws -> any StepLogits {
    mostRows = max(mostRows, batch.rows)
    mostSequences = max(mostSequences, batch.sequences.count)
    try write(batch)
    if let failure {
      self.failure = nil
      throw failure
    }
    for slice in batch.sequences { try check(slice) }
    let rows = try outputRows.map { row -> [Float] in
      guard
        let slice = batch.sequences.first(where: {
          ($0.rowStart..<$0.rowStart + $0.rowCount).contains(Int(row))
        })
      else { throw RetortError(.shapeMismatch, "no sequence has row \(row)", remedy: "") }
      let seen = (0...Int(batch.positions[Int(row)])).map { cache[slot(slice, $0)] }
      var logits = FakeRunner.logits(after: seen, vocabularySize: vocabularySize)
      if let poison { logits[logits.count / 2] = poison }
      return logits
    }
    return FakeLogits(rows: rows)
  }

  private func write(_ batch: BatchMetadata) throws {
    var written = Set<Int>()
    for slice in batch.sequences {
      for row in slice.rowStart..<slice.rowStart + slice.rowCount {
        let position = Int(batch.positions[row])
        let slot = slot(slice, position)
        guard written.insert(slot).inserted else {
          throw RetortError(.deviceFailure, "slot \(slot) is written twice in a step", remedy: "")
        }
        // Half of the step's cache is missing where the device fails.
        if failure != nil, row % 2 == 1 { continue }
        let before = position > 0 ? prefixes[self.slot(slice, position - 1)] : FakeRunner.seed
        cache[slot] = batch.tokenIDs[row]
        prefixes[slot] = FakeRunner.mix(before, batch.tokenIDs[row])
      }
    }
  }

  /// Whether all that a sequence sees was computed behind what comes before it.
  private func check(_ slice: SequenceSlice) throws {
    var expected = FakeRunner.seed
    for position in 0..<slice.contextLength {
      let slot = slot(slice, position)
      expected = FakeRunner.mix(expected, cache[slot])
      guard prefixes[slot] == expected else {
        throw RetortError(
          .deviceFailure, "slot \(slot) at position \(position) was computed behind another text", remedy: "")
      }
    }
  }

  private static let seed: UInt64 = 0xCBF2_9CE4_8422_2325

  private static func mix(_ hash: UInt64, _ token: Int32) -> UInt64 {
    (hash ^ UInt64(bitPattern: Int64(token))) &* 0x100_0000_01B3
  }

  private func slot(_ slice: SequenceSlice, _ position: Int) -> Int {
    Int(slice.blockTable[position / blockSize]) * blockSize + position % blockSize
  }

  /// The logits that follow a text.
  static func logits(after tokens: [Int32], vocabularySize: Int) -> [Float] {
    var random = TestRandom(tokens.reduce(seed, mix))
    return random.floats(vocabularySize, in: -5...5)
  }

  /// Log-probabilities of `ids` after a text.
  static func logProbabilities(after tokens: [Int32], of ids: [Int32], vocabularySize: Int) -> [Double] {
    let logits = logits(after: tokens, vocabularySize: vocabularySize)
    return Reference.logProbabilities(logits, LogProbabilityRequest(topCount: 0, chosen: ids)).chosen
  }

  /// The likeliest next token.
  static func greedy(after tokens: [Int32], vocabularySize: Int) -> Int32 {
    let logits = logits(after: tokens, vocabularySize: vocabularySize)
    return Reference.logProbabilities(logits, LogProbabilityRequest(topCount: 1)).topIDs[0]
  }
}

/// Rows of logits, read back with the Float64 reference.
struct FakeLogits: StepLogits {
  let rows: [[Float]]

  func read(_ requests: [LogProbabilityRequest]) throws -> [LogProbabilityRow] {
    guard requests.count == rows.count else {
      throw RetortError(.shapeMismatch, "\(requests.count) requests for \(rows.count) rows", remedy: "")
    }
    return zip(rows, requests).map { logits, request in
      let result = Reference.logProbabilities(logits, request)
      return LogProbabilityRow(
        topIDs: result.topIDs, topLogits: result.topLogits.map(Float.init),
        logSumExp: Float(result.logSumExp),
        logSumExpAtTemperature: Float(result.logSumExpAtTemperature),
        chosenLogProbabilities: result.chosen.map(Float.init))
    }
  }

  func gumbelArgmax(
    temperatures: [Float], keys: [UInt64], positions: [UInt64], allowed: [AllowedTokens?]
  ) throws -> [Int32] {
    rows.indices.map { row in
      let scores = Reference.gumbelScores(
        rows[row], temperature: temperatures[row], key: keys[row], position: positions[row],
        allowed: allowed.isEmpty ? nil : allowed[row])
      return Int32(scores.indices.max { scores[$0] < scores[$1] } ?? 0)
    }
  }
}
