import Basics

/// `sum = a + b` and `y = sum / √(mean(sum²) + ε) · weight`: what stands between the halves of a decoder's layer.
public struct AddRMSNorm: Operation {
  public static let name = "add_rms_norm"
  public let rows: Int
  public let width: Int

  public init(_ a: Shape, _ b: Shape, weight: Shape) throws {
    try Self.require(a.rank == 2 && a[1] > 0 && a == b, "inputs \(a) and \(b) are not alike [rows, width]")
    try Self.require(weight == [a[1]], "weight \(weight) does not fit input \(a)")
    (rows, width) = (a[0], a[1])
  }

  public var outputShape: Shape { [rows, width] }
  public var flops: Int { rows * width * 5 }
  public var bytes: Int { (4 * rows + 1) * width * 4 }
}

extension Backend {
  public func addRMSNorm(_ a: Tensor, _ b: Tensor, weight: Tensor, epsilon: Float) throws -> (
    sum: Tensor, normed: Tensor
  ) {
    try plainAddRMSNorm(a, b, weight: weight, epsilon: epsilon)
  }

  /// ``addRMSNorm(_:_:weight:epsilon:)`` from the single operations.
  public func plainAddRMSNorm(_ a: Tensor, _ b: Tensor, weight: Tensor, epsilon: Float) throws -> (
    sum: Tensor, normed: Tensor
  ) {
    _ = try AddRMSNorm(a.shape, b.shape, weight: weight.shape)
    let sum = try add(a, b)
    return (sum, try rmsNorm(sum, weight: weight, epsilon: epsilon))
  }
}
