/// Every operation of `Backend` in Float64, in the plainest words: the oracle of the operation tests.
///
/// Inputs are rows packed one after another. Each function is an extension in its own file.
public enum Reference {
  /// What an operation should give, and the size that its rounding errors are measured against.
  public struct Result: Sendable {
    public var values: [Double]
    /// Per element the sum of the absolute values of the terms that were added up (or what takes its place):
    /// a result that cancels to near 0 is still the sum of terms of this size.
    public var magnitudes: [Double]

    public init(values: [Double], magnitudes: [Double]) {
      self.values = values
      self.magnitudes = magnitudes
    }

    public init(count: Int) {
      values = [Double](repeating: 0, count: count)
      magnitudes = values
    }

    /// The values rounded to Float32.
    public var floats: [Float] { values.map(Float.init) }
  }
}

extension Array where Element == Float {
  /// The same numbers in Float64.
  public var doubles: [Double] { map(Double.init) }
}
