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

extension Tape {
  /// `x Wᵀ + bias` with a trained `[N, K]` matrix: `[rows, K] → [rows, N]`.
  public func linear(_ x: Variable, _ weight: Variable, bias: Variable?) throws -> Variable {
    record(try linearValue(x, weight, bias: bias), from: [x, weight, bias]) { [self] g in
      if let bias, bias.needsGradient {
        let sum = try sum(for: bias)
        try backend.addColumnSums(g, to: sum)
        try settle(sum, to: bias)
      }
      try linearGradients(g, x, weight)
    }
  }

  func linearValue(_ x: Variable, _ weight: Variable, bias: Variable?) throws -> Tensor {
    try backend.product(
      x.value, transposeA: false, weight.value, transposeB: true, bias: bias?.value, addTo: nil,
      precision: precision)
  }

  /// Passes the gradient of `x weightᵀ` on to both.
  func linearGradients(_ g: Tensor, _ x: Variable, _ weight: Variable) throws {
    if weight.needsGradient {
      let sum = try sum(for: weight)
      _ = try backend.product(
        g, transposeA: true, x.value, transposeB: false, bias: nil, addTo: sum, precision: precision)
      try settle(sum, to: weight)
    }
    guard x.needsGradient else { return }
    let gathered = x.ownsGradient ? x.gradient : nil
    let gradient = try backend.product(
      g, transposeA: false, weight.value, transposeB: false, bias: nil, addTo: gathered,
      precision: precision)
    if gathered == nil { try add(gradient, to: x, isOwn: true) }
  }
}
