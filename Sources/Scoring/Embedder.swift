import Basics
import ModelFormats
import Tensors
import Tokenizers
import Transformers

/// Turns texts into vectors: tokens, length-sorted packed batches, the encoder, pooling, normalisation.
public final class Embedder: Sendable {
  public let recipe: SentenceRecipe
  public let model: any EncoderModel
  public let tokenizer: WordPieceTokenizer
  /// Tokens that a text is cut to, special ones included.
  public let maximumLength: Int
  /// Tokens that a batch holds at most, unless one text alone is longer.
  public let batchTokens: Int
  private let backend: any Backend
  private let folder: String

  /// Floats of an embedding.
  public var width: Int { model.configuration.hiddenSize }

  /// What a call computed.
  public struct Result: Sendable {
    /// `[texts, width]`, row by row in the order of the texts.
    public var vectors: [Float]
    public var tokens: Int
  }

  /// Opens a Hugging Face or sentence-transformers folder.
  ///
  /// - Parameters:
  ///   - maximumLength: tokens that texts are cut to; by default what the folder says, else the longest input.
  ///   - batchTokens: tokens in a batch.
  /// - Throws: `fileUnavailable`, `malformedFile`, `shapeMismatch` or `unsupported` for a bad folder; `invalidArgument`
  ///   for lengths out of range.
  public init(
    folder: String, backend: any Backend, compute: ComputeMode = .auto, maximumLength: Int? = nil,
    batchTokens: Int = PairScorer.defaultBatchTokens, progress: (@Sendable (Double) -> Void)? = nil
  ) throws {
    let source = try EncoderSource(folder: folder)
    recipe = try SentenceRecipe(folder: folder)
    let input = try EncoderInput(
      source, maximumLength: maximumLength, preferred: recipe.maximumLength, least: 3,
      batchTokens: batchTokens)
    tokenizer = input.tokenizer
    self.maximumLength = input.maximumLength
    self.batchTokens = batchTokens
    self.backend = backend
    self.folder = folder
    model = try ModelRegistry.loadEncoder(source, backend: backend, compute: compute, progress: progress)
  }

  /// The embeddings of texts; a text's vector has the same bits in any company.
  ///
  /// - Throws: what the backend throws; `malformedFile` where a number is not finite.
  public func embed(_ texts: [String]) throws -> Result {
    let encoded = try texts.map { try tokenizer.encode($0, maximumLength: maximumLength) }
    var result = Result(vectors: [Float](repeating: 0, count: texts.count * width), tokens: 0)
    for batch in LengthBatches.make(lengths: encoded.map(\.ids.count), tokens: batchTokens) {
      let packed = try PackedBatch(
        tokenIDs: batch.map { encoded[$0].ids }, typeIDs: batch.map { encoded[$0].typeIDs })
      let prepared = try backend.prepare(packed)
      var pooled =
        switch recipe.pooling {
        case .cls: try model.forwardFirstRows(prepared, on: backend)
        case .mean: try Pooling.mean(model.forward(prepared, on: backend), prepared, on: backend)
        }
      if recipe.normalizes { pooled = try backend.l2Normalize(pooled, epsilon: 1e-12) }
      let values = try backend.read(pooled)
      try ModelOutput.check(values, folder: folder)
      for (row, index) in batch.enumerated() {
        result.vectors.replaceSubrange(
          index * width..<(index + 1) * width, with: values[row * width..<(row + 1) * width])
      }
      result.tokens += packed.rows
    }
    return result
  }
}
