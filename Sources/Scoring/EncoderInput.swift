import Basics
import ModelFormats
import Tokenizers

/// What an encoder's folder says about its input: the tokenizer and how long texts may be.
struct EncoderInput: Sendable {
  let tokenizer: WordPieceTokenizer
  /// Tokens that a text is cut to, special ones included.
  let maximumLength: Int

  /// - Parameters:
  ///   - maximumLength: what the caller asked for.
  ///   - preferred: what counts otherwise, as far as the position table reaches.
  ///   - least: the shortest length that leaves room for text.
  /// - Throws: what opening the tokenizer throws; `malformedFile` where it does not fit the model; `invalidArgument`
  ///   for lengths out of range.
  init(
    _ source: EncoderSource, maximumLength: Int?, preferred: Int?, least: Int, batchTokens: Int
  ) throws {
    tokenizer = try WordPieceTokenizer(folder: source.folder)
    guard tokenizer.vocabularySize <= source.configuration.vocabularySize else {
      throw RetortError(
        .malformedFile,
        "the tokenizer has \(tokenizer.vocabularySize) tokens, the model \(source.configuration.vocabularySize)",
        file: source.folder, field: "vocab_size", remedy: "Use the tokenizer that belongs to the model.")
    }
    let longest = source.configuration.longestInput
    let length = maximumLength ?? min(preferred ?? longest, longest)
    guard length >= least, length <= longest, batchTokens > 0 else {
      throw RetortError(
        .invalidArgument, "texts of \(length) tokens in batches of \(batchTokens)", field: "max-length",
        remedy: "Give a length from \(least) to the model's \(longest), and at least one token a batch.")
    }
    self.maximumLength = length
  }
}
