import Basics

/// The extents of a decoder without its weights: what a benchmark with random weights needs of a model.
public struct ModelShape: Sendable, Hashable {
  public let name: String
  public let configuration: ModelConfiguration
  /// Whether the output layer is the embedding table.
  public let tiesOutput: Bool

  /// A shape by name, or one that a Hugging Face `config.json` states.
  ///
  /// - Throws: `invalidArgument` naming the known shapes; what reading the file throws.
  public init(_ text: String) throws {
    if let known = ModelShape.known.first(where: { $0.name == text }) {
      self = known
      return
    }
    guard text.hasSuffix(".json") else {
      throw RetortError(
        .invalidArgument, "no shape is called “\(text)”", field: "random-weights",
        remedy: "Use one of \(ModelShape.known.map(\.name).joined(separator: ", ")), or a config.json.")
    }
    let file = try JSONFile(path: text)
    configuration = try ModelConfiguration(huggingFace: text)
    tiesOutput = try file.optionalBool("tie_word_embeddings") ?? false
    name = text
  }

  /// Weights in all, norms and biases included.
  public var parameterCount: Int {
    let c = configuration
    let (query, key) = (c.heads * c.headDim, c.kvHeads * c.headDim)
    let biases = c.attentionBias ? query + 2 * key : 0
    let layer =
      c.hiddenSize * (2 * query + 2 * key + 3 * c.intermediateSize) + biases + 2 * c.hiddenSize
    return c.layers * layer + c.hiddenSize * (c.vocabularySize * (tiesOutput ? 1 : 2) + 1)
  }

  private init(
    _ name: String, _ architecture: String, layers: Int, hidden: Int, heads: Int, kvHeads: Int, headDim: Int,
    intermediate: Int, vocabulary: Int, context: Int, base: Double, ties: Bool
  ) {
    self.name = name
    tiesOutput = ties
    configuration = ModelConfiguration(
      architecture: architecture, name: name, vocabularySize: vocabulary, hiddenSize: hidden, layers: layers,
      heads: heads, kvHeads: kvHeads, headDim: headDim, intermediateSize: intermediate,
      contextLength: context, ropeBase: base)
  }

  /// Shapes of published models, and a tiny one for trying things out.
  public static let known: [ModelShape] = [
    ModelShape(
      "tiny", "llama", layers: 2, hidden: 256, heads: 4, kvHeads: 2, headDim: 64, intermediate: 512,
      vocabulary: 1024, context: 4096, base: 10_000, ties: true),
    ModelShape(
      "smollm2-135m", "llama", layers: 30, hidden: 576, heads: 9, kvHeads: 3, headDim: 64,
      intermediate: 1536, vocabulary: 49152, context: 8192, base: 100_000, ties: true),
    ModelShape(
      "qwen2-1.5b", "qwen2", layers: 28, hidden: 1536, heads: 12, kvHeads: 2, headDim: 128,
      intermediate: 8960, vocabulary: 151_936, context: 32768, base: 1_000_000, ties: true),
    ModelShape(
      "qwen2-7b", "qwen2", layers: 28, hidden: 3584, heads: 28, kvHeads: 4, headDim: 128,
      intermediate: 18944, vocabulary: 152_064, context: 32768, base: 1_000_000, ties: false),
    ModelShape(
      "llama-8b", "llama", layers: 32, hidden: 4096, heads: 32, kvHeads: 8, headDim: 128,
      intermediate: 14336, vocabulary: 128_256, context: 8192, base: 500_000, ties: false),
  ]
}

extension ModelConfiguration {
  /// A configuration of plain extents.
  init(
    architecture: String, name: String, vocabularySize: Int, hiddenSize: Int, layers: Int, heads: Int,
    kvHeads: Int, headDim: Int, intermediateSize: Int, contextLength: Int, ropeBase: Double
  ) {
    self.architecture = architecture
    self.name = name
    self.vocabularySize = vocabularySize
    self.hiddenSize = hiddenSize
    self.layers = layers
    self.heads = heads
    self.kvHeads = kvHeads
    self.headDim = headDim
    self.intermediateSize = intermediateSize
    self.contextLength = contextLength
    self.ropeBase = ropeBase
    rmsNormEpsilon = 1e-5
    ropeScaling = .none
    ropeStyle = architecture == "llama" ? .neighbours : .halves
    attentionBias = architecture == "qwen2"
  }
}
