/// The extents of a tensor, outermost first.
public struct Shape: Sendable, Hashable, ExpressibleByArrayLiteral, CustomStringConvertible {
  public let extents: [Int]

  public init(_ extents: [Int]) { self.extents = extents }
  public init(arrayLiteral elements: Int...) { self.extents = elements }

  public var rank: Int { extents.count }
  public subscript(axis: Int) -> Int { extents[axis] }

  /// The number of elements; 1 for a scalar.
  public var count: Int { extents.reduce(1, *) }

  /// The number of elements, or nil where an extent is negative or the product overflows: for extents read
  /// from a file.
  public var checkedCount: Int? {
    var product = 1
    for extent in extents {
      guard extent >= 0 else { return nil }
      let (next, overflow) = product.multipliedReportingOverflow(by: extent)
      if overflow { return nil }
      product = next
    }
    return product
  }

  public var description: String { "[" + extents.map(String.init).joined(separator: ", ") + "]" }
}
