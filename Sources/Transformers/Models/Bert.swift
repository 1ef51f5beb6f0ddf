import Basics
import ModelFormats
import Tensors

/// BERT (Devlin et al., 2018): learned positions, segments, post-norm layers, GELU.
final class Bert: EncoderModel, Sendable {
  struct Layer: Sendable {
    let projection: Projection
    let attentionOutput: Linear
    let attentionNorm: LayerNormLayer
    let up: Linear
    let down: Linear
    let outputNorm: LayerNormLayer
  }

  /// Query, key and value projections.
  enum Projection: Sendable {
    /// All three in one product.
    case joint(Linear)
    /// The last layer's, whose queries may be wanted for first rows only.
    case split(query: Linear, keyValue: Linear)

    var linears: [Linear] {
      switch self {
      case .joint(let linear): [linear]
      case .split(let query, let keyValue): [query, keyValue]
      }
    }
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
      return try Bert.layer(loader, "encoder.layer.\(index)", isLast: index == c.layers - 1)
    }
    let linears = layers.flatMap { $0.projection.linears + [$0.attentionOutput, $0.up, $0.down] }
    weightBytes = linears.reduce(0) { $0 + $1.weight.byteCount }
    flopsPerToken = linears.reduce(0) { $0 + 2 * $1.weight.inputWidth * $1.weight.outputWidth }
  }

  static func load(_ loader: EncoderLoader, progress: (@Sendable (Double) -> Void)?) throws
    -> any EncoderModel
  {
    try Bert(loader, progress: progress)
  }

  private static func layer(_ loader: EncoderLoader, _ name: String, isLast: Bool) throws -> Layer {
    let c = loader.configuration
    let attention = name + ".attention"
    func project(_ names: [String]) throws -> Linear {
      try loader.linear(
        names.map { "\(attention).self.\($0)" }, out: c.hiddenSize, in: c.hiddenSize, fine: true)
    }
    return Layer(
      projection: isLast
        ? .split(query: try project(["query"]), keyValue: try project(["key", "value"]))
        : .joint(try project(["query", "key", "value"])),
      attentionOutput: try loader.linear(["\(attention).output.dense"], out: c.hiddenSize, in: c.hiddenSize),
      attentionNorm: try loader.norm("\(attention).output.LayerNorm"),
      up: try loader.linear(["\(name).intermediate.dense"], out: c.intermediateSize, in: c.hiddenSize),
      down: try loader.linear(["\(name).output.dense"], out: c.hiddenSize, in: c.intermediateSize),
      outputNorm: try loader.norm("\(name).output.LayerNorm"))
  }

  func forward(_ batch: any PreparedPackedBatch, on backend: any Backend) throws -> Tensor {
    var hidden = try embed(batch, backend)
    for layer in layers {
      hidden = try finish(layer, hidden, attend(layer, hidden, batch, backend), backend)
    }
    return hidden
  }

  func forwardFirstRows(_ batch: any PreparedPackedBatch, on backend: any Backend) throws -> Tensor {
    let firstRows = Array(batch.packed.starts.dropLast())
    var hidden = try embed(batch, backend)
    for layer in layers {
      guard case .split(let query, let keyValue) = layer.projection else {
        hidden = try finish(layer, hidden, attend(layer, hidden, batch, backend), backend)
        continue
      }
      let width = configuration.hiddenSize
      let both = try keyValue(hidden, backend)
      hidden = try backend.gatherRows(hidden, firstRows)
      let attended = try backend.firstRowAttention(
        query: query(hidden, backend), key: both.columns(0..<width), value: both.columns(width..<2 * width),
        heads: configuration.heads, scale: scale, batch)
      hidden = try finish(layer, hidden, attended, backend)
    }
    return hidden
  }

  private var scale: Float { 1 / Float(configuration.headDim).squareRoot() }

  private func embed(_ batch: any PreparedPackedBatch, _ backend: any Backend) throws -> Tensor {
    try embeddingNorm(
      backend.embeddingSum(words: words, positions: positions, types: segments, batch), backend)
  }

  private func attend(
    _ layer: Layer, _ hidden: Tensor, _ batch: any PreparedPackedBatch, _ backend: any Backend
  ) throws -> Tensor {
    let width = configuration.hiddenSize
    let (query, keyValue, keys): (Tensor, Tensor, Int)
    switch layer.projection {
    case .joint(let joint):
      keyValue = try joint(hidden, backend)
      (query, keys) = (try keyValue.columns(0..<width), width)
    case .split(let first, let rest):
      (query, keyValue, keys) = (try first(hidden, backend), try rest(hidden, backend), 0)
    }
    return try backend.encoderAttention(
      query: query, key: keyValue.columns(keys..<keys + width),
      value: keyValue.columns(keys + width..<keys + 2 * width), heads: configuration.heads, scale: scale,
      precision: precision, wantsLogSumExp: false, batch
    ).output
  }

  /// What follows attention, row by row.
  private func finish(_ layer: Layer, _ hidden: Tensor, _ attended: Tensor, _ backend: any Backend) throws
    -> Tensor
  {
    let form: GELU.Form = configuration.activation == .gelu ? .exact : .tanh
    let hidden = try layer.attentionNorm(
      backend.add(hidden, layer.attentionOutput(attended, backend)), backend)
    let inner = try backend.gelu(layer.up(hidden, backend), form)
    return try layer.outputNorm(backend.add(hidden, layer.down(inner, backend)), backend)
  }
}
