/// A set of byte values.
struct ByteSet: Sendable, Hashable {
  private var words = SIMD4<UInt64>.zero

  init() {}

  init(_ range: ClosedRange<UInt8>) {
    for byte in range { insert(byte) }
  }

  mutating func insert(_ byte: UInt8) { words[Int(byte >> 6)] |= 1 << UInt64(byte & 63) }

  mutating func formUnion(_ other: ByteSet) { words |= other.words }

  mutating func formIntersection(_ other: ByteSet) { words &= other.words }

  func contains(_ byte: UInt8) -> Bool { words[Int(byte >> 6)] >> UInt64(byte & 63) & 1 != 0 }

  var isEmpty: Bool { words == .zero }

  var count: Int { (0..<4).reduce(0) { $0 + words[$1].nonzeroBitCount } }

  var bytes: [UInt8] { (0...255).filter(contains) }

  /// The byte of the set that reads best where any would do: a dash, a digit, a letter, other printable ones.
  var preferred: UInt8? {
    for range in [0x2D...0x2D, 0x30...0x39, 0x61...0x7A, 0x41...0x5A, 0x20...0x7E] as [ClosedRange<UInt8>] {
      if let byte = range.first(where: contains) { return byte }
    }
    return (0...255).first(where: contains)
  }
}
