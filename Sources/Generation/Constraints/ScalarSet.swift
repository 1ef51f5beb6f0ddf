/// A set of Unicode scalar values as sorted, disjoint, non-adjacent ranges; surrogates are never in it.
struct ScalarSet: Sendable, Hashable {
  private(set) var ranges: [ClosedRange<UInt32>]

  /// Makes a set of ranges in any order; what is not a scalar value is left out.
  init(_ ranges: [ClosedRange<UInt32>]) {
    var clean: [ClosedRange<UInt32>] = []
    for range in ranges {
      for part in [0...0xD7FF, 0xE000...0x10FFFF] as [ClosedRange<UInt32>] where range.overlaps(part) {
        clean.append(range.clamped(to: part))
      }
    }
    clean.sort { $0.lowerBound < $1.lowerBound }
    self.ranges = []
    for range in clean {
      if let last = self.ranges.last, range.lowerBound <= last.upperBound &+ 1 {
        self.ranges[self.ranges.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        self.ranges.append(range)
      }
    }
  }

  init(_ scalar: UInt32) { self.init([scalar...scalar]) }

  init(of text: String) { self.init(text.unicodeScalars.map { $0.value...$0.value }) }

  static let all = ScalarSet([0...0x10FFFF])

  var isEmpty: Bool { ranges.isEmpty }

  /// The scalar where there is exactly one.
  var single: UInt32? {
    guard ranges.count == 1, ranges[0].count == 1 else { return nil }
    return ranges[0].lowerBound
  }

  var inverted: ScalarSet {
    var result: [ClosedRange<UInt32>] = []
    var next: UInt32 = 0
    for range in ranges {
      if range.lowerBound > next { result.append(next...(range.lowerBound - 1)) }
      next = range.upperBound + 1
    }
    if next <= 0x10FFFF { result.append(next...0x10FFFF) }
    return ScalarSet(result)
  }

  func union(_ other: ScalarSet) -> ScalarSet { ScalarSet(ranges + other.ranges) }

  func intersection(_ other: ScalarSet) -> ScalarSet { inverted.union(other.inverted).inverted }

  func subtracting(_ other: ScalarSet) -> ScalarSet { intersection(other.inverted) }

  func contains(_ scalar: UInt32) -> Bool { ranges.contains { $0.contains(scalar) } }

  /// The UTF-8 of the set: sequences of byte ranges whose products are disjoint and together are the set
  /// (as in Cox, "Regular Expression Matching in the Wild", 2010).
  var utf8Sequences: [[ClosedRange<UInt8>]] {
    var result: [[ClosedRange<UInt8>]] = []
    for range in ranges {
      for bounds in [0...0x7F, 0x80...0x7FF, 0x800...0xFFFF, 0x10000...0x10FFFF] as [ClosedRange<UInt32>]
      where range.overlaps(bounds) {
        ScalarSet.split(range.clamped(to: bounds), into: &result)
      }
    }
    return result
  }

  /// Cuts a range of equally long scalars until each part is a product of byte ranges.
  private static func split(_ range: ClosedRange<UInt32>, into result: inout [[ClosedRange<UInt8>]]) {
    for shift in [6, 12, 18] as [UInt32] {
      let mask: UInt32 = 1 << shift - 1
      guard range.lowerBound & ~mask != range.upperBound & ~mask else { continue }
      if range.lowerBound & mask != 0 {
        split(range.lowerBound...(range.lowerBound | mask), into: &result)
        split((range.lowerBound | mask) + 1...range.upperBound, into: &result)
        return
      }
      if range.upperBound & mask != mask {
        split(range.lowerBound...(range.upperBound & ~mask) - 1, into: &result)
        split((range.upperBound & ~mask)...range.upperBound, into: &result)
        return
      }
    }
    result.append(zip(utf8(range.lowerBound), utf8(range.upperBound)).map { $0...$1 })
  }

  /// A scalar value in UTF-8.
  static func utf8(_ scalar: UInt32) -> [UInt8] {
    Unicode.Scalar(scalar).map { Array(String(Character($0)).utf8) } ?? []
  }
}
