import Basics
import Foundation

/// The extents and constants of a model.
public struct ModelConfiguration: Sendable, Hashable {
  /// Which elements rotary embedding pairs.
  public enum RopeStyle: String, Sendable { case neighbours, halves }
  /// How positions beyond the trained context are mapped.
  public enum RopeScaling: Sendable, Hashable {
    case none
    /// Positions are divided by the factor.
    case linear(Double)
  }

  public var architecture: String
  public var name: String
  public var vocabularySize: Int
  public var hiddenSize: Int
  public var layers: Int
  public var heads: Int
  public var kvHeads: Int
  public var headDim: Int
  public var intermediateSize: Int
  public var contextLength: Int
  public var rmsNormEpsilon: Float
  public var ropeBase: Double
  public var ropeScaling: RopeScaling
  public var ropeStyle: RopeStyle
  /// Whether the query, key and value projections have biases, where the architecture leaves it open.
  public var attentionBias: Bool

  /// - Throws: `malformedFile` naming the extent that is out of range.
  func validated(file: String) throws -> ModelConfiguration {
    func check(_ condition: Bool, _ field: String, _ message: String) throws {
      guard condition else { throw GGUFFile.malformed(file, field, message) }
    }
    for (field, value, limit) in [
      ("vocabulary size", vocabularySize, 1 << 24), ("hidden size", hiddenSize, 1 << 20),
      ("layers", layers, 1 << 12), ("heads", heads, 1 << 12), ("key-value heads", kvHeads, 1 << 12),
      ("head size", headDim, 256), ("intermediate size", intermediateSize, 1 << 22),
      ("context length", contextLength, 1 << 30),
    ] {
      try check(value > 0 && value <= limit, field, "\(value) is not from 1 to \(limit)")
    }
    try check(heads % kvHeads == 0, "heads", "\(heads) heads do not share \(kvHeads) key-value heads evenly")
    try check(headDim % 2 == 0, "head size", "\(headDim) is odd")
    try check(rmsNormEpsilon > 0 && rmsNormEpsilon < 1, "norm epsilon", "\(rmsNormEpsilon) is out of range")
    try check(ropeBase >= 1 && ropeBase.isFinite, "rope base", "\(ropeBase) is out of range")
    if case .linear(let factor) = ropeScaling {
      try check(factor > 0 && factor.isFinite, "rope scaling", "a factor of \(factor)")
    }
    return self
  }

  /// Reads `{architecture}.*`.
  public init(gguf file: GGUFFile) throws {
    let prefix = try file.string("general.architecture")
    architecture = prefix
    name = file.has("general.name") ? try file.string("general.name") : prefix
    hiddenSize = try file.integer("\(prefix).embedding_length")
    layers = try file.integer("\(prefix).block_count")
    heads = try file.integer("\(prefix).attention.head_count")
    kvHeads =
      file.has("\(prefix).attention.head_count_kv")
      ? try file.integer("\(prefix).attention.head_count_kv") : heads
    headDim =
      file.has("\(prefix).attention.key_length")
      ? try file.integer("\(prefix).attention.key_length") : (heads > 0 ? hiddenSize / heads : 0)
    intermediateSize = try file.integer("\(prefix).feed_forward_length")
    contextLength = try file.integer("\(prefix).context_length")
    rmsNormEpsilon = Float(try file.float("\(prefix).attention.layer_norm_rms_epsilon"))
    ropeBase = file.has("\(prefix).rope.freq_base") ? try file.float("\(prefix).rope.freq_base") : 10000
    ropeScaling = try ModelConfiguration.scaling(file, prefix)
    ropeStyle = prefix == "llama" ? .neighbours : .halves
    attentionBias = file.tensor(named: "blk.0.attn_q.bias") != nil
    let tokens = file.arrayCount("tokenizer.ggml.tokens")
    let table = file.tensor(named: "token_embd.weight")
    vocabularySize = table.map { $0.shape[0] } ?? tokens
    self = try validated(file: file.path)
  }

  private static func scaling(_ file: GGUFFile, _ prefix: String) throws -> RopeScaling {
    if file.tensor(named: "rope_freqs.weight") != nil {
      throw RetortError(
        .unsupported, "per-frequency rope scaling", file: file.path, field: "rope_freqs.weight",
        remedy: "Use a model with plain or linearly scaled positions.")
    }
    let key = "\(prefix).rope.scaling.type"
    let type = file.has(key) ? try file.string(key) : "none"
    switch type {
    case "none": return .none
    case "linear": return .linear(try file.float("\(prefix).rope.scaling.factor"))
    default:
      throw RetortError(
        .unsupported, "rope scaling “\(type)”", file: file.path, field: key,
        remedy: "Use a model with plain or linearly scaled positions.")
    }
  }

  /// Reads a Hugging Face `config.json`.
  public init(huggingFace path: String) throws {
    let config = try JSONFile(path: path)
    architecture = try config.string("model_type")
    name = config.optionalString("_name_or_path").flatMap { $0.isEmpty ? nil : $0 } ?? architecture
    hiddenSize = try config.integer("hidden_size")
    layers = try config.integer("num_hidden_layers")
    heads = try config.integer("num_attention_heads")
    kvHeads = try config.optionalInteger("num_key_value_heads") ?? heads
    headDim = try config.optionalInteger("head_dim") ?? (heads > 0 ? hiddenSize / heads : 0)
    intermediateSize = try config.integer("intermediate_size")
    contextLength = try config.integer("max_position_embeddings")
    vocabularySize = try config.integer("vocab_size")
    rmsNormEpsilon = Float(try config.optionalNumber("rms_norm_eps") ?? 1e-6)
    // Newer files nest the rotary settings.
    let rope = try config.optionalObject("rope_parameters") ?? config.optionalObject("rope_scaling")
    ropeBase =
      try config.optionalNumber("rope_theta") ?? (rope?["rope_theta"] as? NSNumber)?.doubleValue ?? 10000
    let type = (rope?["rope_type"] ?? rope?["type"]) as? String ?? "default"
    switch type {
    case "default": ropeScaling = .none
    case "linear": ropeScaling = .linear((rope?["factor"] as? NSNumber)?.doubleValue ?? 0)
    default:
      throw RetortError(
        .unsupported, "rope scaling “\(type)”", file: path, field: "rope_scaling",
        remedy: "Use a model with plain or linearly scaled positions.")
    }
    ropeStyle = .halves
    attentionBias = try config.optionalBool("attention_bias") ?? false
    self = try validated(file: path)
  }
}
