/// Confidence against correctness in 15 bins of equal width: bin b holds the pairs with b/15 < confidence ≤ (b+1)/15,
/// and 0 with the first.
struct CalibrationBins: Sendable, Equatable {
  static let count = 15

  private(set) var pairs = [Int](repeating: 0, count: count)
  private(set) var correct = [Int](repeating: 0, count: count)
  private(set) var confidence = [Double](repeating: 0, count: count)

  /// The bin of a confidence from 0 to 1.
  static func bin(_ confidence: Double) -> Int {
    let guess = min(max(Int(confidence * Double(count)), 0), count - 1)
    // The product may round across an edge; the edge itself belongs to the bin below it.
    if guess > 0, confidence <= Double(guess) / Double(count) { return guess - 1 }
    if guess + 1 < count, confidence > Double(guess + 1) / Double(count) { return guess + 1 }
    return guess
  }

  mutating func add(bin: Int, confidence value: Double, isCorrect: Bool, weight: Int) {
    pairs[bin] &+= weight
    if isCorrect { correct[bin] &+= weight }
    confidence[bin] += value * Double(weight)
  }

  /// Expected calibration error: the mean over pairs of their bin's |accuracy − mean confidence|.
  var error: Double? {
    let total = pairs.reduce(0, &+)
    guard total > 0 else { return nil }
    return pairs.indices.reduce(0) { $0 + abs(Double(correct[$1]) - confidence[$1]) } / Double(total)
  }
}
