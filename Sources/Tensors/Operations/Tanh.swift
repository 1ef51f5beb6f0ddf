import Basics

/// Hyperbolic tangent of every element.
public struct Tanh: Operation {
  public static let name = "tanh"
  public let outputShape: Shape

  public init(_ x: Shape) throws {
    try Self.require(x.rank == 2, "input \(x) is not [rows, width]")
    outputShape = x
  }

  public var flops: Int { outputShape.count * 6 }
  public var bytes: Int { outputShape.count * 8 }
}

extension Tape {
  /// Hyperbolic tangent of every element.
  public func tanh(_ x: Variable) throws -> Variable {
    let y = try backend.tanh(x.value)
    return record(y, from: [x]) { [self] g in try add(backend.tanhGradient(g, y: y), to: x) }
  }
}
