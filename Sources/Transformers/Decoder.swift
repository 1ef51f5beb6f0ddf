import Basics
import ModelFormats
import Tensors

/// What one forward pass runs on.
public struct ForwardStep: Sendable {
  public let backend: any Backend
  public let batch: any PreparedBatch
  public let cache: any KVCache

  public init(backend: any Backend, batch: any PreparedBatch, cache: any KVCache) {
    self.backend = backend
    self.batch = batch
    self.cache = cache
  }
}

/// A decoder-only language model on a backend.
public protocol DecoderModel: AnyObject, Sendable {
  var configuration: ModelConfiguration { get }
  /// Bytes of all weights that a step reads.
  var weightBytes: Int { get }
  /// Multiply-adds a token takes outside attention and the output layer, times two.
  var flopsPerToken: Int { get }
  /// Logits `[outputRows.count, vocabulary]` of the rows asked for, after writing every row's keys and values.
  func forward(_ step: ForwardStep, outputRows: [Int32]) throws -> Tensor
}

/// Pre-norm decoder layers with rotary grouped-query attention and a gated MLP: the shape that llama and its
/// kin share. The architectures' own files say what differs.
public final class Decoder: DecoderModel, Sendable {
  struct Layer: Sendable {
    let attentionNorm: RMSNormLayer
    let attention: SelfAttention
    let mlpNorm: RMSNormLayer
    let mlp: GatedMLP
  }

  public let configuration: ModelConfiguration
  public let weightBytes: Int
  public let flopsPerToken: Int
  let embedding: any EmbeddingTable
  let layers: [Layer]
  let outputNorm: RMSNormLayer
  let output: Linear

  init(
    configuration: ModelConfiguration, embedding: any EmbeddingTable, layers: [Layer],
    outputNorm: RMSNormLayer, output: Linear
  ) {
    self.configuration = configuration
    self.embedding = embedding
    self.layers = layers
    self.outputNorm = outputNorm
    self.output = output
    var bytes = output.weight.byteCount
    var flops = 0
    for layer in layers {
      let linears = [
        layer.attention.queryKeyValue, layer.attention.output, layer.mlp.gateUp, layer.mlp.down,
      ]
      for linear in linears {
        bytes += linear.weight.byteCount
        flops += 2 * linear.weight.inputWidth * linear.weight.outputWidth
      }
    }
    weightBytes = bytes
    flopsPerToken = flops
  }

  public func forward(_ step: ForwardStep, outputRows: [Int32]) throws -> Tensor {
    let backend = step.backend
    var hidden = try backend.embedding(embedding, step.batch)
    var normed = try (layers.first?.attentionNorm ?? outputNorm)(hidden, backend)
    for (index, layer) in layers.enumerated() {
      // After the last layer's attention only the rows whose logits are asked for go on.
      let kept = index == layers.count - 1 ? outputRows : nil
      let attended = try layer.attention(normed, layer: index, step, outputRows: kept)
      if let kept { hidden = try backend.gatherRows(hidden, kept) }
      (hidden, normed) = try layer.mlpNorm(adding: hidden, attended, backend)
      let next = index == layers.count - 1 ? outputNorm : layers[index + 1].attentionNorm
      (hidden, normed) = try next(adding: hidden, layer.mlp(normed, backend), backend)
    }
    return try output(normed, backend)
  }
}
