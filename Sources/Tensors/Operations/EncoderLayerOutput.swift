import Basics

/// What follows attention in a post-norm encoder layer: with `h = norm(x + attention Wo)`, the result is
/// `norm(h + gelu(h Wup) Wdown)` (Devlin et al., 2018). Every row by itself.
public struct EncoderLayerOutput: Operation {
  /// A product with its bias.
  public struct Product: Sendable {
    public let weight: any MatrixWeight
    public let bias: Tensor?

    public init(weight: any MatrixWeight, bias: Tensor?) {
      self.weight = weight
      self.bias = bias
    }
  }

  /// A layer norm's weight and bias.
  public struct Norm: Sendable {
    public let weight: Tensor
    public let bias: Tensor

    public init(weight: Tensor, bias: Tensor) {
      self.weight = weight
      self.bias = bias
    }
  }

  /// The weights of one layer.
  public struct Weights: Sendable {
    public let attentionOutput: Product
    public let attentionNorm: Norm
    public let up: Product
    public let down: Product
    public let outputNorm: Norm
    public let epsilon: Float
    public let activation: GELU.Form

    public init(
      attentionOutput: Product, attentionNorm: Norm, up: Product, down: Product, outputNorm: Norm,
      epsilon: Float, activation: GELU.Form
    ) {
      self.attentionOutput = attentionOutput
      self.attentionNorm = attentionNorm
      self.up = up
      self.down = down
      self.outputNorm = outputNorm
      self.epsilon = epsilon
      self.activation = activation
    }
  }

  public static let name = "encoder_layer_output"
  public let rows: Int
  public let width: Int
  public let inner: Int
  private let weightBytes: Int

  public init(hidden: Shape, attended: Shape, _ weights: Weights) throws {
    let (output, up, down) = (weights.attentionOutput.weight, weights.up.weight, weights.down.weight)
    try Self.require(hidden.rank == 2 && attended.rank == 2, "hidden \(hidden), attended \(attended)")
    width = hidden[1]
    inner = up.outputWidth
    try Self.require(
      attended == [hidden[0], output.inputWidth] && output.outputWidth == width && up.inputWidth == width
        && down.inputWidth == inner && down.outputWidth == width,
      "hidden \(hidden), attended \(attended) and products of \(output.inputWidth) to \(output.outputWidth), "
        + "\(up.inputWidth) to \(inner), \(down.inputWidth) to \(down.outputWidth)")
    for (product, width) in [(weights.attentionOutput, width), (weights.up, inner), (weights.down, width)] {
      try Self.require(product.bias.map { $0.shape == [width] } ?? true, "a bias does not fit its product")
    }
    for norm in [weights.attentionNorm, weights.outputNorm] {
      try Self.require(
        norm.weight.shape == [width] && norm.bias.shape == [width], "a norm does not fit \(hidden)")
    }
    rows = hidden[0]
    weightBytes = output.byteCount + up.byteCount + down.byteCount
  }

  public var outputShape: Shape { [rows, width] }
  public var flops: Int { rows * (2 * width * width + 4 * width * inner + 8 * inner + 18 * width) }
  public var bytes: Int { 3 * rows * width * 4 + weightBytes }
}

extension Backend {
  public func encoderLayerOutput(_ hidden: Tensor, attended: Tensor, _ weights: EncoderLayerOutput.Weights)
    throws -> Tensor
  {
    try plainEncoderLayerOutput(hidden, attended: attended, weights)
  }

  /// ``encoderLayerOutput(_:attended:_:)`` from the single operations.
  public func plainEncoderLayerOutput(
    _ hidden: Tensor, attended: Tensor, _ weights: EncoderLayerOutput.Weights
  ) throws -> Tensor {
    _ = try EncoderLayerOutput(hidden: hidden.shape, attended: attended.shape, weights)
    func product(_ x: Tensor, _ product: EncoderLayerOutput.Product) throws -> Tensor {
      try matmul(x, product.weight, bias: product.bias)
    }
    func norm(_ x: Tensor, _ norm: EncoderLayerOutput.Norm) throws -> Tensor {
      try layerNorm(x, weight: norm.weight, bias: norm.bias, epsilon: weights.epsilon)
    }
    let first = try norm(add(hidden, product(attended, weights.attentionOutput)), weights.attentionNorm)
    let inner = try gelu(product(first, weights.up), weights.activation)
    return try norm(add(first, product(inner, weights.down)), weights.outputNorm)
  }
}
