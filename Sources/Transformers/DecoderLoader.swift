import Basics
import ModelFormats
import Tensors

/// Reads a decoder's weights by their canonical (GGUF) names, checks their shapes and hands them to a backend.
struct DecoderLoader {
  let source: any WeightStore
  let configuration: ModelConfiguration
  let backend: any Backend
  let compute: ComputeMode

  /// Checks a tensor's shape and scales before it is used.
  func weight(_ name: String, _ shape: Shape) throws -> WeightSource { try source.weight(name, shape) }

  /// Stacked matrices `name.weight`, with the biases `name.bias` where `bias` is set; `fine` asks for finer
  /// activations where products run at 8 bits.
  func linear(_ parts: [(name: String, out: Int)], in width: Int, bias: Bool, fine: Bool = false) throws
    -> Linear
  {
    let weights = try parts.map { part in
      var source = try weight(part.name + ".weight", [part.out, width])
      source.needsFineActivations = fine
      return source
    }
    let biases = bias ? try parts.map { try weight($0.name + ".bias", [$0.out]) } : []
    return Linear(
      weight: try backend.loadMatrix(weights, compute: compute),
      bias: biases.isEmpty ? nil : try backend.loadVector(biases))
  }

  func norm(_ name: String) throws -> RMSNormLayer {
    RMSNormLayer(
      weight: try backend.loadVector([weight(name, [configuration.hiddenSize])]),
      epsilon: configuration.rmsNormEpsilon)
  }

  /// The whole stack; `attentionBias` adds biases to the query, key and value projections.
  func decoder(attentionBias: Bool, progress: (@Sendable (Double) -> Void)?) throws -> Decoder {
    let c = configuration
    // The largest matrix first: its file pages and its copy are in memory together while it is packed.
    let tableSource = try weight("token_embd.weight", [c.vocabularySize, c.hiddenSize])
    let tied = !source.hasTensor("output.weight")
    let outputSource = tied ? tableSource : try weight("output.weight", [c.vocabularySize, c.hiddenSize])
    let output = Linear(weight: try backend.loadMatrix([outputSource], compute: compute), bias: nil)
    let table = try backend.loadTable(tableSource)
    tableSource.release()
    var layers: [Decoder.Layer] = []
    for index in 0..<c.layers {
      layers.append(try layer("blk.\(index)", attentionBias: attentionBias))
      progress?(Double(index + 1) / Double(c.layers))
    }
    let outputNorm = try norm("output_norm.weight")
    return Decoder(
      configuration: c, embedding: table, layers: layers, outputNorm: outputNorm, output: output)
  }

  private func layer(_ name: String, attentionBias: Bool) throws -> Decoder.Layer {
    let c = configuration
    let queryWidth = c.heads * c.headDim
    let keyWidth = c.kvHeads * c.headDim
    // Queries, keys and values are few, and 8 bits hurt most there: docs/architecture.md.
    let attention = SelfAttention(
      queryKeyValue: try linear(
        [("\(name).attn_q", queryWidth), ("\(name).attn_k", keyWidth), ("\(name).attn_v", keyWidth)],
        in: c.hiddenSize, bias: attentionBias, fine: true),
      output: try linear([("\(name).attn_output", c.hiddenSize)], in: queryWidth, bias: false),
      heads: c.heads, kvHeads: c.kvHeads, headDim: c.headDim, rope: try c.rope())
    let mlp = GatedMLP(
      gateUp: try linear(
        [("\(name).ffn_gate", c.intermediateSize), ("\(name).ffn_up", c.intermediateSize)],
        in: c.hiddenSize, bias: false),
      down: try linear([("\(name).ffn_down", c.hiddenSize)], in: c.intermediateSize, bias: false),
      intermediateSize: c.intermediateSize)
    return Decoder.Layer(
      attentionNorm: try norm("\(name).attn_norm.weight"), attention: attention,
      mlpNorm: try norm("\(name).ffn_norm.weight"), mlp: mlp)
  }
}
