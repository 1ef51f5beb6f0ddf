import Basics

/// Numbers that look random and are the same in every run.
public struct TestRandom: RandomNumberGenerator {
  private let philox: Philox
  private var counter: UInt64 = 0

  public init(_ seed: UInt64) { philox = Philox(key: seed) }

  public mutating func next() -> UInt64 {
    let words = philox.words(counter)
    counter &+= 1
    return UInt64(words[0]) << 32 | UInt64(words[1])
  }

  /// Uniform numbers in `range`.
  public mutating func floats(_ count: Int, in range: ClosedRange<Float> = -1...1) -> [Float] {
    (0..<count).map { _ in Float.random(in: range, using: &self) }
  }

  /// Numbers with the spread of activations: mostly below 1, one in 32 about eight times as large.
  public mutating func activations(_ count: Int) -> [Float] {
    (0..<count).map { index in
      let value = Float.random(in: -1...1, using: &self) + Float.random(in: -1...1, using: &self)
      return index % 32 == 7 ? value * 8 : value
    }
  }

  /// Token ids below `bound`.
  public mutating func ids(_ count: Int, below bound: Int) -> [Int32] {
    (0..<count).map { _ in Int32.random(in: 0..<Int32(bound), using: &self) }
  }
}
