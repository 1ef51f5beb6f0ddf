import Basics

/// `y = x Wᵀ + bias`, `[rows, K] × [N, K] → [rows, N]`.
public struct MatMul: Operation {
  public static let name = "matmul"
  public let rows: Int
  public let inputWidth: Int
  public let outputWidth: Int
  public let weightBytes: Int

  public init(x: Shape, weight: any MatrixWeight, bias: Shape?) throws {
    try Self.require(
      x.rank == 2 && x[1] == weight.inputWidth, "input \(x) does not fit input width \(weight.inputWidth)")
    if let bias {
      try Self.require(bias == [weight.outputWidth], "bias \(bias) does not fit output \(weight.outputWidth)")
    }
    rows = x[0]
    inputWidth = weight.inputWidth
    outputWidth = weight.outputWidth
    weightBytes = weight.byteCount
  }

  public var outputShape: Shape { [rows, outputWidth] }
  public var flops: Int { 2 * rows * inputWidth * outputWidth }
  public var bytes: Int { weightBytes + rows * (inputWidth + outputWidth) * 4 }
}
