/// GPT-2's expression, as Hugging Face's ByteLevel pre-tokenizer has it:
/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
struct GPT2Scanner: PieceScanner {
  @inline(__always)
  func endOfPiece(_ cursor: ScalarCursor, from start: Int, limit: Int) -> Int {
    let contraction = GPT2Scanner.contraction(cursor, from: start, limit: limit)
    if contraction > 0 { return start &+ contraction }
    var head = start
    var step = cursor.step(start, limit)
    if step.isSpace {
      guard cursor.text[start] == 0x20, start &+ 1 < limit else {
        return cursor.endOfSpaces(from: start, limit)
      }
      head = start &+ 1
      step = cursor.step(head, limit)
      if step.isSpace { return cursor.endOfSpaces(from: start, limit) }
    }
    let next = head &+ step.length
    if step.isLetter { return cursor.skip(from: next, limit) { $0.isLetter } }
    if step.isNumber { return cursor.skip(from: next, limit) { $0.isNumber } }
    return cursor.skip(from: next, limit) { $0.isSymbol }
  }

  /// The length of a lower-case English contraction at `start`, or 0.
  @inline(__always)
  private static func contraction(_ cursor: ScalarCursor, from start: Int, limit: Int) -> Int {
    guard cursor.text[start] == 0x27 else { return 0 }
    let second = cursor.byte(start &+ 2, limit)
    switch cursor.byte(start &+ 1, limit) {
    case 0x73, 0x74, 0x6D, 0x64: return 2  // s t m d
    case 0x72, 0x76: return second == 0x65 ? 3 : 0  // re ve
    case 0x6C: return second == 0x6C ? 3 : 0  // ll
    default: return 0
    }
  }
}
