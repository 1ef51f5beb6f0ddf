import Basics
import Foundation

/// The extents and constants of an encoder (BERT and its kin).
public struct EncoderConfiguration: Sendable, Hashable {
  /// The activation between the two products of the feed-forward part.
  public enum Activation: String, Sendable {
    /// GELU with the error function.
    case gelu
    /// GELU by its tanh approximation.
    case geluTanh
  }

  public var architecture: String
  public var vocabularySize: Int
  public var hiddenSize: Int
  public var layers: Int
  public var heads: Int
  public var intermediateSize: Int
  /// Tokens that the position table holds.
  public var longestInput: Int
  /// Segments that the segment table holds.
  public var segments: Int
  public var layerNormEpsilon: Float
  public var activation: Activation

  public var headDim: Int { hiddenSize / heads }

  /// Reads a Hugging Face `config.json`.
  ///
  /// - Throws: `fileUnavailable`; `malformedFile` naming the key that is missing or out of range; `unsupported` for
  ///   relative positions, another activation, or a decoder.
  public init(huggingFace path: String) throws {
    let config = try JSONFile(path: path)
    architecture = try config.string("model_type")
    vocabularySize = try config.integer("vocab_size")
    hiddenSize = try config.integer("hidden_size")
    layers = try config.integer("num_hidden_layers")
    heads = try config.integer("num_attention_heads")
    intermediateSize = try config.integer("intermediate_size")
    longestInput = try config.integer("max_position_embeddings")
    segments = try config.optionalInteger("type_vocab_size") ?? 2
    layerNormEpsilon = Float(try config.optionalNumber("layer_norm_eps") ?? 1e-12)
    func unsupported(_ key: String, _ what: String) -> RetortError {
      RetortError(
        .unsupported, what, file: path, field: key, remedy: "Use a BERT encoder such as all-MiniLM-L6-v2.")
    }
    switch config.optionalString("hidden_act") ?? "gelu" {
    case "gelu": activation = .gelu
    case "gelu_new", "gelu_pytorch_tanh": activation = .geluTanh
    case let other: throw unsupported("hidden_act", "the activation “\(other)”")
    }
    let positions = config.optionalString("position_embedding_type") ?? "absolute"
    guard positions == "absolute" else {
      throw unsupported("position_embedding_type", "positions of type “\(positions)”")
    }
    for key in ["is_decoder", "add_cross_attention"] where try config.optionalBool(key) == true {
      throw unsupported(key, "a decoder")
    }
    try validate(path)
  }

  private func validate(_ file: String) throws {
    for (field, value, limit) in [
      ("vocab_size", vocabularySize, 1 << 24), ("hidden_size", hiddenSize, 1 << 16),
      ("num_hidden_layers", layers, 1 << 10), ("num_attention_heads", heads, 1 << 10),
      ("intermediate_size", intermediateSize, 1 << 20), ("max_position_embeddings", longestInput, 1 << 20),
      ("type_vocab_size", segments, 1 << 16),
    ] where value < 1 || value > limit {
      throw GGUFFile.malformed(file, field, "\(value) is not from 1 to \(limit)")
    }
    guard hiddenSize % heads == 0, headDim <= 256 else {
      throw GGUFFile.malformed(
        file, "num_attention_heads", "\(heads) heads do not share \(hiddenSize) evenly, 256 at most each")
    }
    guard layerNormEpsilon > 0, layerNormEpsilon < 1 else {
      throw GGUFFile.malformed(file, "layer_norm_eps", "\(layerNormEpsilon) is out of range")
    }
  }
}
