import Basics
import ModelFormats
import Tensors

/// BERT (Devlin et al., 2018): learned positions, segments, post-norm layers, GELU.
final class Bert: EncoderModel, Sendable {
  struct Layer: Sendable {
    /// Query, key and value projections in one product.
    let queryKeyValue: Linear
    let attentionOutput: Linear
    let attentionNorm: LayerNormLayer
    let up: Linear
    let down: Linear
    let outputNorm: LayerNormLayer
  }

  let configuration: EncoderConfiguration
  let weightBytes: Int
  let flopsPerToken: Int
  private let words: any EmbeddingTable
  private let positions: any EmbeddingTable
  private let segments: any EmbeddingTable
  private let embeddingNorm: LayerNormLayer
  private let layers: [Layer]
  private let precision: DType

  init(_ loader: EncoderLoader, progress: (@Sendable (Double) -> Void)?) throws {
    let c = loader.configuration
    configuration = c
    precision = loader.compute == .f32 ? .f32 : .bf16
    words = try loader.table("embeddings.word_embeddings", rows: c.vocabularySize)
    positions = try loader.table("embeddings.position_embeddings", rows: c.longestInput)
    segments = try loader.table("embeddings.token_type_embeddings", rows: c.segments)
    embeddingNorm = try loader.norm("embeddings.LayerNorm")
    layers = try (0..<c.layers).map { index in
      defer { progress?(Double(index + 1) / Double(c.layers)) }
      return try Bert.layer(loader, "encoder.layer.\(index)")
    }
    let linears = layers.flatMap { [$0.queryKeyValue, $0.attentionOutput, $0.up, $0.down] }
    weightBytes = linears.reduce(0) { $0 + $1.weight.byteCount }
    flopsPerToken = linears.reduce(0) { $0 + 2 * $1.weight.inputWidth * $1.weight.outputWidth }
  }

  static func load(_ loader: EncoderLoader, progress: (@Sendable (Double) -> Void)?) throws
    -> any EncoderModel
  {
    try Bert(loader, progress: progress)
  }

  private static func layer(_ loader: EncoderLoader, _ name: String) throws -> Layer {
    let c = loader.configuration
    let attention = name + ".attention"
    return Layer(
      queryKeyValue: try loader.linear(
        ["query", "key", "value"].map { "\(attention).self.\($0)" }, out: c.hiddenSize, in: c.hiddenSize,
        fine: true),
      attentionOutput: try loader.linear(["\(attention).output.dense"], out: c.hiddenSize, in: c.hiddenSize),
      attentionNorm: try loader.norm("\(attention).output.LayerNorm"),
      up: try loader.linear(["\(name).intermediate.dense"], out: c.intermediateSize, in: c.hiddenSize),
      down: try loader.linear(["\(name).output.dense"], out: c.hiddenSize, in: c.intermediateSize),
      outputNorm: try loader.norm("\(name).output.LayerNorm"))
  }

  func forward(_ batch: any PreparedPackedBatch, on backend: any Backend) throws -> Tensor {
    let c = configuration
    let width = c.hiddenSize
    let form: GELU.Form = c.activation == .gelu ? .exact : .tanh
    var hidden = try embeddingNorm(
      backend.embeddingSum(words: words, positions: positions, types: segments, batch), backend)
    for layer in layers {
      let joint = try layer.queryKeyValue(hidden, backend)
      let attended = try backend.encoderAttention(
        query: joint.columns(0..<width), key: joint.columns(width..<2 * width),
        value: joint.columns(2 * width..<3 * width), heads: c.heads, scale: 1 / Float(c.headDim).squareRoot(),
        precision: precision, wantsLogSumExp: false, batch
      ).output
      hidden = try layer.attentionNorm(
        backend.add(hidden, layer.attentionOutput(attended, backend)), backend)
      let inner = try backend.gelu(layer.up(hidden, backend), form)
      hidden = try layer.outputNorm(backend.add(hidden, layer.down(inner, backend)), backend)
    }
    return hidden
  }
}
