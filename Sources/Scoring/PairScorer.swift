import Basics
import Foundation
import ModelFormats
import Tensors
import Tokenizers
import Transformers

/// Scores query–item pairs with an interaction student: an encoder that reads both texts together, with a
/// classifier on its [CLS] token.
public final class PairScorer: Sendable {
  public let model: SequenceClassifier
  public let tokenizer: WordPieceTokenizer
  /// Tokens that a pair is cut to, special ones included.
  public let maximumLength: Int
  /// Tokens that a batch holds at most, unless one pair alone is longer.
  public let batchTokens: Int
  private let backend: any Backend
  private let folder: String
  /// The encoder's.
  let width: Int

  /// Tokens that keep both threads and caches of a processor busy.
  public static let defaultBatchTokens = 1024

  /// Names of the labels, in the order of logits and probabilities.
  public var labels: [String] { model.labels }

  /// What a call computed; rows are in the order of the pairs.
  public struct Result: Sendable {
    /// `[pairs, labels]`.
    public var logits: [Float]
    /// Softmax of the logits, `[pairs, labels]`.
    public var probabilities: [Float]
    /// Tokens of all pairs, special ones included.
    public var tokens: Int
  }

  /// Opens a Hugging Face folder with a `BertForSequenceClassification`.
  ///
  /// - Parameters:
  ///   - maximumLength: tokens that pairs are cut to, the longer text first; by default the model's longest input.
  ///   - batchTokens: tokens in a batch.
  /// - Throws: `fileUnavailable`, `malformedFile`, `shapeMismatch` or `unsupported` for a bad folder; `invalidArgument`
  ///   for lengths out of range.
  public init(
    folder: String, backend: any Backend, compute: ComputeMode = .auto, maximumLength: Int? = nil,
    batchTokens: Int = PairScorer.defaultBatchTokens,
    progress: (@Sendable (Double) -> Void)? = nil
  ) throws {
    let source = try EncoderSource(folder: folder)
    let input = try EncoderInput(
      source, maximumLength: maximumLength, preferred: nil, least: 5, batchTokens: batchTokens)
    tokenizer = input.tokenizer
    self.maximumLength = input.maximumLength
    self.batchTokens = batchTokens
    self.backend = backend
    self.folder = folder
    width = source.configuration.hiddenSize
    model = try ModelRegistry.loadClassifier(source, backend: backend, compute: compute, progress: progress)
  }

  /// Logits and probabilities of pairs; a pair's have the same bits in any company.
  ///
  /// - Throws: what the backend throws; `malformedFile` where a logit is not a finite number.
  public func score(_ pairs: [(query: String, item: String)]) throws -> Result {
    try score(encode(pairs))
  }

  /// Pairs as the model reads them.
  public struct EncodedPairs: Sendable {
    let texts: [EncodedText]
  }

  /// The tokens of pairs, for ``score(_:)``.
  ///
  /// - Throws: nothing where the scorer could be made.
  public func encode(_ pairs: [(query: String, item: String)]) throws -> EncodedPairs {
    EncodedPairs(
      texts: try pairs.map { try tokenizer.encode($0.query, pair: $0.item, maximumLength: maximumLength) })
  }

  /// Logits and probabilities of pairs that are tokens already.
  ///
  /// - Throws: what the backend throws; `malformedFile` where a logit is not a finite number.
  public func score(_ pairs: EncodedPairs) throws -> Result {
    let encoded = pairs.texts
    let width = labels.count
    let zeros = [Float](repeating: 0, count: encoded.count * width)
    var result = Result(logits: zeros, probabilities: zeros, tokens: 0)
    for batch in LengthBatches.make(lengths: encoded.map(\.ids.count), tokens: batchTokens) {
      let packed = try PackedBatch(
        tokenIDs: batch.map { encoded[$0].ids }, typeIDs: batch.map { encoded[$0].typeIDs })
      let values = try backend.read(model.logits(backend.prepare(packed), on: backend))
      try ModelOutput.check(values, folder: folder)
      for (row, index) in batch.enumerated() {
        let logits = values[row * width..<(row + 1) * width]
        result.logits.replaceSubrange(index * width..<(index + 1) * width, with: logits)
        result.probabilities.replaceSubrange(
          index * width..<(index + 1) * width, with: PairScorer.softmax(logits))
      }
      result.tokens += packed.rows
    }
    return result
  }

  static func softmax(_ logits: ArraySlice<Float>) -> [Float] {
    let highest = logits.max() ?? 0
    let weights = logits.map { exp(Double($0 - highest)) }
    let sum = weights.reduce(0, +)
    return weights.map { Float($0 / sum) }
  }
}
