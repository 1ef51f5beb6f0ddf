import Basics

/// The rule that cuts text into the pieces within which byte pairs merge.
public enum PreTokenizer: String, Sendable, CaseIterable {
  /// GPT-2's ByteLevel expression.
  case gpt2 = "gpt-2"
  /// Each digit alone, then GPT-2's expression.
  case smollm
  /// Llama-3's expression: up to three digits, contractions in any case.
  case llama3 = "llama-bpe"
  /// Qwen2's expression: Llama-3's with each digit alone.
  case qwen2

  /// Recognises a GGUF `tokenizer.ggml.pre` value.
  ///
  /// - Throws: `unsupported` naming an unknown value.
  public init(ggufName name: String) throws {
    switch name {
    case "gpt-2", "gpt2", "default": self = .gpt2
    case "smollm": self = .smollm
    case "llama-bpe", "llama3", "llama-v3": self = .llama3
    case "qwen2": self = .qwen2
    default:
      throw RetortError(
        .unsupported, "unknown pre-tokenizer \"\(name.prefix(64))\"", field: "tokenizer.ggml.pre",
        remedy: "Use a model whose pre-tokenizer is gpt-2, smollm, llama-bpe or qwen2.")
    }
  }

  /// Calls `body` with the byte range of each piece of `range`, in order; the ranges cover it without gaps.
  @inline(__always)
  func forEachPiece(
    of text: UnsafeBufferPointer<UInt8>, in range: Range<Int>, _ body: (Range<Int>) -> Void
  ) {
    let cursor = ScalarCursor(text: text, classes: .shared)
    switch self {
    case .gpt2: scan(GPT2Scanner(), cursor, range, body)
    case .smollm: scan(SmolLMScanner(), cursor, range, body)
    case .llama3: scan(Llama3Scanner(), cursor, range, body)
    case .qwen2: scan(Qwen2Scanner(), cursor, range, body)
    }
  }

  @inline(__always)
  private func scan<S: PieceScanner>(
    _ scanner: S, _ cursor: ScalarCursor, _ range: Range<Int>, _ body: (Range<Int>) -> Void
  ) {
    var start = range.lowerBound
    while start < range.upperBound {
      // A scanner that stood still would loop for ever; the guard makes that impossible.
      let end = max(start &+ 1, scanner.endOfPiece(cursor, from: start, limit: range.upperBound))
      body(start..<end)
      start = end
    }
  }
}

/// One pre-tokenizer: finds where the piece that starts at an offset ends.
protocol PieceScanner {
  /// The end of the piece that starts at `start`, greater than `start` and at most `limit`.
  func endOfPiece(_ cursor: ScalarCursor, from start: Int, limit: Int) -> Int
}
