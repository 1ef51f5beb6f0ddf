import Basics

public struct Tanh: Operation {
  public static let name = "tanh"
  public let outputShape: Shape
  public var flops: Int { outputShape.count * 8 }
  public var bytes: Int { outputShape.count * 8 }
}

extension Tape {
  public func tanh(_ x: Variable) throws -> Variable {
    let y = try backend.tanh(x.value)
    return record(y, from: [x]) { [self] g in try add(backend.tanhGradient(g, y: y), to: x) }
  }
}
