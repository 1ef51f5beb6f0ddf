import Foundation

/// Normalised discounted cumulative gain of one query (Järvelin and Kekäläinen 2002), linear gains.
///
/// Follows scikit-learn's `ndcg_score`: the item at place i (from 1) counts gain / log₂(i + 1) up to place `k`; items
/// of equal score share the mean of their gains over the places that they take.
enum DiscountedGain {
  /// From 0 to 1; nil for fewer than two items, where every order is the same, and where no item has a gain.
  static func normalized(gains: [Double], scores: [Double], k: Int = 10) -> Double? {
    guard gains.count > 1, gains.count == scores.count else { return nil }
    let ideal = gains.sorted(by: >).enumerated().reduce(0) { $0 + $1.element * discount($1.offset, k) }
    guard ideal > 0 else { return nil }
    let ascending = TiedOrder(scores)
    var found = 0.0
    var end = ascending.rows.count
    for start in ascending.ends.dropLast().reversed() + [0] {
      let places = gains.count - end..<gains.count - start
      let mean = ascending.rows[start..<end].reduce(0) { $0 + gains[$1] } / Double(end - start)
      found += mean * places.reduce(0) { $0 + discount($1, k) }
      end = start
    }
    return found / ideal
  }

  private static func discount(_ place: Int, _ k: Int) -> Double {
    place < k ? 1 / log2(Double(place) + 2) : 0
  }
}
