/// SmolLM's sequence: every digit is a piece of its own, and GPT-2's expression cuts what lies between, each
/// stretch on its own (so white space before a digit stays whole).
struct SmolLMScanner: PieceScanner {
  private let between = GPT2Scanner()

  @inline(__always)
  func endOfPiece(_ cursor: ScalarCursor, from start: Int, limit: Int) -> Int {
    let first = cursor.step(start, limit)
    if first.isDigit { return start &+ first.length }
    // The stretch is cut by a digit only; letters and symbols never run over one, so only white space, whose
    // rule looks ahead, needs to know that a digit ends the stretch.
    if first.isSpace {
      let end = cursor.skip(from: start, limit) { $0.isSpace }
      if end < limit, cursor.step(end, limit).isDigit { return end }
    }
    let end = between.endOfPiece(cursor, from: start, limit: limit)
    return SmolLMScanner.cut(cursor, start, end)
  }

  /// Stops at a digit newer than the expression's Unicode version, which the expression takes for a symbol.
  @inline(__always)
  private static func cut(_ cursor: ScalarCursor, _ start: Int, _ end: Int) -> Int {
    // Only scalars beyond the Basic Multilingual Plane can be that new; their UTF-8 starts with 0xF0.
    var offset = start
    while offset < end {
      if cursor.text[offset] >= 0xF0, cursor.step(offset, end).isDigit { return offset }
      offset &+= 1
    }
    return end
  }
}
