import Basics
import TestSupport

/// Weights that several tests share, made once.
enum Stored {
  private static let cache = Cache()

  /// A random matrix `[outputs, width]`.
  static func weight(_ dtype: DType, _ outputs: Int, _ width: Int) -> TestWeight {
    cache.weight("\(dtype) \(outputs) \(width)") {
      TestWeight(random: UInt64(outputs * 1000 + width), outputs, width, dtype)
    }
  }

  private final class Cache: @unchecked Sendable {
    private var weights: [String: TestWeight] = [:]

    func weight(_ key: String, _ make: () -> TestWeight) -> TestWeight {
      if let weight = weights[key] { return weight }
      let weight = make()
      weights[key] = weight
      return weight
    }
  }
}
