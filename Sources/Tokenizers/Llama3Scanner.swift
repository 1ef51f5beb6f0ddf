/// Llama-3's expression:
/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`.
struct Llama3Scanner: PieceScanner {
  @inline(__always)
  func endOfPiece(_ cursor: ScalarCursor, from start: Int, limit: Int) -> Int {
    Llama3Scanner.endOfPiece(cursor, from: start, limit: limit, digits: 3)
  }

  /// The expression with `\p{N}{1,digits}`.
  @inline(__always)
  static func endOfPiece(_ cursor: ScalarCursor, from start: Int, limit: Int, digits: Int) -> Int {
    let contraction = contraction(cursor, from: start, limit: limit)
    if contraction > 0 { return start &+ contraction }
    let first = cursor.step(start, limit)
    let next = start &+ first.length
    if first.isLetter { return cursor.skip(from: next, limit) { $0.isLetter } }
    if first.isNumber {
      var count = 1
      return cursor.skip(from: next, limit) { step in
        count &+= 1
        return step.isNumber && count <= digits
      }
    }
    var head = start
    var step = first
    if next < limit, !first.isNewline {
      let second = cursor.step(next, limit)
      if second.isLetter { return cursor.skip(from: next &+ second.length, limit) { $0.isLetter } }
      if cursor.text[start] == 0x20 {
        head = next
        step = second
      }
    }
    if step.isSymbol {
      let end = cursor.skip(from: head &+ step.length, limit) { $0.isSymbol }
      return cursor.skip(from: end, limit) { $0.isNewline }
    }
    return endOfSpaces(cursor, from: start, limit)
  }

  /// The end of `\s*[\r\n]+|\s+(?!\S)|\s+`: after the last line break of the run, if it has one.
  @inline(__always)
  private static func endOfSpaces(_ cursor: ScalarCursor, from start: Int, _ limit: Int) -> Int {
    var offset = start
    var last = start
    var lineEnd = start
    while offset < limit {
      let step = cursor.step(offset, limit)
      guard step.isSpace else { break }
      last = offset
      offset &+= step.length
      if step.isNewline { lineEnd = offset }
    }
    if lineEnd > start { return lineEnd }
    return offset < limit && last > start ? last : offset
  }

  /// The length of an English contraction in any case at `start`, or 0; U+017F (long s) folds to `s`.
  @inline(__always)
  private static func contraction(_ cursor: ScalarCursor, from start: Int, limit: Int) -> Int {
    guard cursor.text[start] == 0x27 else { return 0 }
    let first = cursor.byte(start &+ 1, limit)
    let second = cursor.byte(start &+ 2, limit)
    switch first | 0x20 {
    case 0x73, 0x74, 0x6D, 0x64: return 2  // s t m d
    case 0x72, 0x76: return second == 0x65 || second == 0x45 ? 3 : 0  // re ve
    case 0x6C: return second == 0x6C || second == 0x4C ? 3 : 0  // ll
    default: return first == 0xC5 && second == 0xBF ? 3 : 0
    }
  }
}
