import Basics

/// Resampling of whole queries with replacement (Efron's percentile bootstrap): pairs of a query depend on each
/// other, so the query is what is drawn.
public struct QueryBootstrap: Sendable, Equatable {
  /// More resamples than this only cost memory.
  public static let maximumResamples = 100_000

  public let resamples: Int
  public let seed: UInt64

  /// - Throws: `invalidArgument` for a count that is negative or above 100,000.
  public init(resamples: Int = 1000, seed: UInt64 = 0) throws {
    guard (0...QueryBootstrap.maximumResamples).contains(resamples) else {
      throw RetortError(
        .invalidArgument, "expected 0 to \(QueryBootstrap.maximumResamples) resamples, found \(resamples)",
        field: "resamples", remedy: "1000 is a good number; 0 leaves the intervals out.")
    }
    self.resamples = resamples
    self.seed = seed
  }

  /// How often each of `queries` queries is drawn in resample `number`; they sum to `queries`.
  ///
  /// It depends on seed, number and count alone, so two sets of predictions meet the same resamples.
  func weights(resample number: Int, queries: Int) -> [Int] {
    var weights = [Int](repeating: 0, count: queries)
    let philox = Philox(key: seed)
    for block in stride(from: 0, to: queries, by: 4) {
      let words = philox.words(UInt64(block / 4), UInt64(number))
      for lane in 0..<min(4, queries - block) {
        // The high word of the product: the bias is below queries / 2³².
        weights[Int((UInt64(words[lane]) * UInt64(queries)) >> 32)] += 1
      }
    }
    return weights
  }

  /// The percentiles 2.5 and 97.5, linear between neighbours; nil without values.
  static func interval(_ values: [Double]) -> (low: Double, high: Double)? {
    guard !values.isEmpty else { return nil }
    let sorted = values.sorted()
    return (percentile(0.025, sorted), percentile(0.975, sorted))
  }

  private static func percentile(_ share: Double, _ sorted: [Double]) -> Double {
    let place = share * Double(sorted.count - 1)
    let below = min(Int(place), sorted.count - 1)
    let above = min(below + 1, sorted.count - 1)
    return sorted[below] + (sorted[above] - sorted[below]) * (place - Double(below))
  }

  /// The two-sided p-value of no difference: twice the smaller share of resampled differences at or beyond zero, the
  /// data itself counted as one more on both sides, at most 1.
  static func pValue(_ differences: [Double]) -> Double? {
    guard !differences.isEmpty else { return nil }
    let below = differences.count { $0 <= 0 } + 1
    let above = differences.count { $0 >= 0 } + 1
    return min(1, 2 * Double(min(below, above)) / Double(differences.count + 1))
  }
}
