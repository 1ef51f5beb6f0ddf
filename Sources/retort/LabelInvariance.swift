import ArgumentParser
import Basics
import Foundation
import Generation
import Labelling
import Relevance

/// Labels pairs in several company and compares what comes out, bit for bit.
enum LabelInvariance {
  static let batches = [1, 7, 32]

  /// All of a pair's result that a batch could change; floats as bits, so that 0 differs from −0 and NaN from none.
  struct Outcome: Equatable {
    var tokens: [Int32] = []
    var logProbabilities: [UInt32] = []
    var choices: [[UInt32]] = []
    var probabilities: [UInt64] = []
    var error: String?

    /// What two outcomes differ in, or nil.
    func difference(from other: Outcome) -> String? {
      if error != other.error { return "the error" }
      if tokens != other.tokens { return "tokens" }
      if logProbabilities != other.logProbabilities { return "log-probabilities of the tokens" }
      if choices != other.choices { return "log-probabilities of the label" }
      return probabilities == other.probabilities ? nil : "the label's distribution"
    }
  }

  private struct Row {
    let batch: Int
    let prefixCache: Bool
    let seconds: Double
    let pairs: Int
    var differences: [(pairID: String, what: String)] = []
  }

  /// - Throws: exit code 1 where any result differs; what the engine throws.
  static func check(_ run: LabelRun, _ pairs: [PairWork], json: Bool) throws {
    var reference: [Int: Outcome] = [:]
    var rows: [Row] = []
    for prefixCache in [false, true] {
      for batch in batches {
        var run = run
        (run.batch, run.prefixCache) = (batch, prefixCache)
        let (outcomes, seconds) = try outcomes(run, pairs)
        if rows.isEmpty { reference = outcomes }
        var row = Row(batch: batch, prefixCache: prefixCache, seconds: seconds, pairs: pairs.count)
        for work in pairs {
          let (one, other) = (outcomes[work.row] ?? Outcome(), reference[work.row] ?? Outcome())
          guard let what = one.difference(from: other) else { continue }
          row.differences.append((work.pair.pairID, what))
        }
        rows.append(row)
        if !json { Output.write(line(row, isReference: rows.count == 1)) }
      }
    }
    let isSame = rows.allSatisfy { $0.differences.isEmpty }
    if json {
      Output.write(try Output.json(["invariant": isSame, "pairs": pairs.count, "runs": rows.map(object)]))
    } else {
      Output.write(isSame ? "the same bits everywhere\n" : "results depend on the batch or the cache\n")
    }
    if !isSame { throw ExitCode(1) }
  }

  private static func outcomes(_ run: LabelRun, _ pairs: [PairWork]) throws -> ([Int: Outcome], Double) {
    var found: [Int: Outcome] = [:]
    let measured = try LabelMeasurement(
      run, pairs,
      completion: { work, completion in
        // Of several samples one after another, in the order of their draws.
        found[work.row, default: Outcome()].tokens += completion.tokens
        found[work.row, default: Outcome()].logProbabilities += completion.logProbabilities.map(\.bitPattern)
        found[work.row, default: Outcome()].choices += completion.choiceLogProbabilities.map {
          $0.map(\.bitPattern)
        }
      },
      result: { result in
        switch result.outcome {
        case .success(let record):
          found[result.row, default: Outcome()].probabilities = record.distribution.probabilities.map(
            \.bitPattern)
        case .failure(let error): found[result.row, default: Outcome()].error = error.description
        }
      })
    return (found, measured.seconds)
  }

  private static func line(_ row: Row, isReference: Bool) -> String {
    let cache = row.prefixCache ? "with prefix cache" : "without prefix cache"
    let name = "batch \(row.batch), \(cache)".padding(toLength: 34, withPad: " ", startingAt: 0)
    let pairs = "\(row.pairs) pairs in " + String(format: "%.1f s: ", row.seconds)
    if isReference { return "\(name)\(pairs)what the others are compared with\n" }
    guard let first = row.differences.first else { return "\(name)\(pairs)the same bits\n" }
    return "\(name)\(pairs)\(row.differences.count) differ, first \(first.pairID) in \(first.what)\n"
  }

  private static func object(_ row: Row) -> [String: Any] {
    [
      "batch": row.batch, "prefix_cache": row.prefixCache, "seconds": row.seconds,
      "differences": row.differences.map { ["pair_id": $0.pairID, "what": $0.what] },
    ]
  }
}
