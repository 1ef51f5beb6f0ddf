/// Finds results that leave their tolerance.
public enum Judge {
  /// Nil where every element of `actual` is within `tolerance · magnitude + absolute` of the reference, else a
  /// sentence about the worst one.
  public static func complaint(
    _ actual: [Float], _ reference: Reference.Result, tolerance: Double, absolute: Double = 0, width: Int = 0
  ) -> String? {
    complaint(
      actual, reference.values, bounds: reference.magnitudes.map { $0 * tolerance + absolute }, width: width)
  }

  /// The same with a bound for each element.
  public static func complaint(_ actual: [Float], _ expected: [Double], bounds: [Double], width: Int = 0)
    -> String?
  {
    guard actual.count == expected.count else {
      return "\(actual.count) elements, expected \(expected.count)"
    }
    var (worst, place, wrong) = (1.0, -1, 0)
    for i in actual.indices {
      let error = (Double(actual[i]) - expected[i]).magnitude
      if error <= bounds[i] { continue }
      wrong += 1
      let ratio = error.isNaN ? .infinity : error / max(bounds[i], .leastNormalMagnitude)
      if ratio > worst || place < 0 { (worst, place) = (ratio, i) }
    }
    guard wrong > 0 else { return nil }
    let position = width > 0 ? "row \(place / width), column \(place % width)" : "element \(place)"
    return "\(wrong) of \(actual.count) are off; worst at \(position): \(actual[place]), expected "
      + "\(expected[place]) ± \(bounds[place]) (\(worst) times the tolerance)"
  }

  /// Nil where both hold the same bits, else a sentence about the first difference.
  public static func bitDifference(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> String? {
    guard a.count == b.count else { return "\(a.count) and \(b.count) elements" }
    for (i, (x, y)) in zip(a, b).enumerated() where x.bitPattern != y.bitPattern {
      return "element \(i): \(x) and \(y)"
    }
    return nil
  }
}
