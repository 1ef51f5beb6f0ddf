/// Qwen2's expression: Llama-3's with `\p{N}` (each digit alone) in place of `\p{N}{1,3}`.
struct Qwen2Scanner: PieceScanner {
  @inline(__always)
  func endOfPiece(_ cursor: ScalarCursor, from start: Int, limit: Int) -> Int {
    Llama3Scanner.endOfPiece(cursor, from: start, limit: limit, digits: 1)
  }
}
