/// The extents of a tensor, outermost first.
public struct Shape: Sendable, Hashable, ExpressibleByArrayLiteral, CustomStringConvertible {
  public let rank: Int
  // Two extents in place, 1 where there are none: every operation makes and compares such shapes, and an array would
  // be an allocation for each. For the same reason what reads them is inlinable.
  @usableFromInline let first: Int
  @usableFromInline let second: Int
  @usableFromInline let others: [Int]

  public init(_ extents: [Int]) { self.init(reading: extents) }

  @inlinable public init(arrayLiteral elements: Int...) { self.init(reading: elements) }

  // Element by element, so that a literal's array need not outlive the call and lies on the stack.
  @inlinable init(reading extents: [Int]) {
    rank = extents.count
    first = extents.count > 0 ? extents[0] : 1
    second = extents.count > 1 ? extents[1] : 1
    var others: [Int] = []
    if extents.count > 2 { for axis in 2..<extents.count { others.append(extents[axis]) } }
    self.others = others
  }

  public var extents: [Int] { (0..<rank).map { self[$0] } }

  @inlinable public subscript(axis: Int) -> Int {
    precondition(axis >= 0 && axis < rank, "a shape has no such axis")
    return axis == 0 ? first : axis == 1 ? second : others[axis - 2]
  }

  /// The number of elements; 1 for a scalar.
  public var count: Int { others.reduce(first * second, *) }

  /// The number of elements, or nil where an extent is negative or the product overflows: for extents read
  /// from a file.
  public var checkedCount: Int? {
    var product = 1
    for axis in 0..<rank {
      let extent = self[axis]
      guard extent >= 0 else { return nil }
      let (next, overflow) = product.multipliedReportingOverflow(by: extent)
      if overflow { return nil }
      product = next
    }
    return product
  }

  public var description: String { "[" + extents.map(String.init).joined(separator: ", ") + "]" }
}
