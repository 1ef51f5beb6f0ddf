/// Philox4x32-10, a counter-based random generator (Salmon et al., SC 2011).
///
/// The same (key, counter) always gives the same words, so a draw depends on a sequence's seed and position
/// alone and never on what else is in the batch.
public struct Philox: Sendable {
  public let key: UInt64

  public init(key: UInt64) { self.key = key }

  /// Four random words for a 128-bit counter given as two halves.
  public func words(_ low: UInt64, _ high: UInt64 = 0) -> SIMD4<UInt32> {
    var counter = SIMD4<UInt32>(
      UInt32(truncatingIfNeeded: low), UInt32(truncatingIfNeeded: low >> 32),
      UInt32(truncatingIfNeeded: high), UInt32(truncatingIfNeeded: high >> 32))
    var k0 = UInt32(truncatingIfNeeded: key)
    var k1 = UInt32(truncatingIfNeeded: key >> 32)
    for _ in 0..<10 {
      let p0 = UInt64(0xD251_1F53) * UInt64(counter[0])
      let p1 = UInt64(0xCD9E_8D57) * UInt64(counter[2])
      counter = SIMD4(
        UInt32(truncatingIfNeeded: p1 >> 32) ^ counter[1] ^ k0, UInt32(truncatingIfNeeded: p1),
        UInt32(truncatingIfNeeded: p0 >> 32) ^ counter[3] ^ k1, UInt32(truncatingIfNeeded: p0))
      k0 &+= 0x9E37_79B9
      k1 &+= 0xBB67_AE85
    }
    return counter
  }

  /// A uniform number in the open interval (0, 1) for a counter.
  public func uniform(_ low: UInt64, _ high: UInt64 = 0) -> Double {
    let w = words(low, high)
    let bits = (UInt64(w[0]) << 20) ^ (UInt64(w[1]) >> 12)
    return (Double(bits & ((1 << 52) - 1)) + 0.5) / Double(1 << 52)
  }
}
