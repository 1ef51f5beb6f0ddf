import Basics

/// Clears elements at random and scales the rest (Srivastava et al., 2014).
public struct Dropout: Operation {
  public static let name = "dropout"
  public let outputShape: Shape

  public init(_ x: Shape, rate: Float) throws {
    try Self.require(x.rank == 2, "input \(x) is not [rows, width]")
    try Self.require(rate >= 0 && rate < 1, "rate \(rate) is not from 0 up to 1")
    outputShape = x
  }

  /// Draws of 16 bits below this clear their element.
  public static func threshold(_ rate: Float) -> UInt32 {
    UInt32(min((Double(rate) * 65_536).rounded(), 65_535))
  }

  /// Counters of a row are numbered from a multiple of these: what kernels draw together.
  public static let groupElements = 128

  // Ten rounds of two multiplications and four other operations, for eight elements.
  public var flops: Int { outputShape.count * 8 }
  public var bytes: Int { outputShape.count * 8 }
}

extension Tape {
  /// Dropout with a key for the step and a stream for the place in the model; no operation at rate 0.
  public func dropout(_ x: Variable, rate: Float, key: UInt64, stream: UInt64) throws -> Variable {
    guard rate > 0 else { return x }
    let y = try backend.dropout(x.value, rate: rate, key: key, stream: stream)
    return record(y, from: [x]) { [self] g in
      try add(backend.dropout(g, rate: rate, key: key, stream: stream), to: x)
    }
  }
}

/// `factor · x`.
public struct Scale: Operation {
  public static let name = "scale"
  public let outputShape: Shape

  public init(_ x: Shape) throws {
    try Self.require(x.rank == 2, "input \(x) is not [rows, width]")
    outputShape = x
  }

  public var flops: Int { outputShape.count }
  public var bytes: Int { outputShape.count * 8 }
}
