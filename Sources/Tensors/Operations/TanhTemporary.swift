import Basics

public struct Tanh: Operation {
  public static let name = "tanh"
  public let outputShape: Shape
  public var flops: Int { outputShape.count * 8 }
  public var bytes: Int { outputShape.count * 8 }
}
