/// Finds added tokens in a text: leftmost first, the longest at a place.
struct AddedTokenMatcher: Sendable {
  private struct Candidate: Sendable {
    var bytes: [UInt8]
    var token: VocabularySpec.AddedToken
  }

  /// A found token and the stretch of text it stands for, white space it swallows included.
  struct Match {
    var range: Range<Int>
    var id: Int32
  }

  /// Candidates by first byte, longest first.
  private var candidates: [[Candidate]]
  private(set) var isEmpty = true

  init(_ tokens: [VocabularySpec.AddedToken]) {
    candidates = Array(repeating: [], count: 256)
    for token in tokens {
      let bytes = Array(token.content.utf8)
      guard let first = bytes.first else { continue }
      candidates[Int(first)].append(Candidate(bytes: bytes, token: token))
      isEmpty = false
    }
    for i in candidates.indices { candidates[i].sort { $0.bytes.count > $1.bytes.count } }
  }

  /// Calls `text` with each stretch between tokens and `match` with each token, in order.
  func split(
    _ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, matchSpecial: Bool,
    text: (Range<Int>) -> Void, match: (Int32) -> Void
  ) {
    var done = range.lowerBound
    var offset = range.lowerBound
    while offset < range.upperBound {
      guard !candidates[Int(bytes[offset])].isEmpty, let found = candidate(bytes, offset, range.upperBound)
      else {
        offset += 1
        continue
      }
      let end = offset + found.bytes.count
      if found.token.isSpecial && !matchSpecial {
        offset = end
        continue
      }
      let start = found.token.stripsLeft ? AddedTokenMatcher.spaceStart(bytes, done, offset) : offset
      if start > done { text(done..<start) }
      match(found.token.id)
      done = found.token.stripsRight ? AddedTokenMatcher.spaceEnd(bytes, end, range.upperBound) : end
      offset = done
    }
    if done < range.upperBound { text(done..<range.upperBound) }
  }

  private func candidate(_ bytes: UnsafeBufferPointer<UInt8>, _ offset: Int, _ limit: Int) -> Candidate? {
    candidates[Int(bytes[offset])].first { candidate in
      guard limit - offset >= candidate.bytes.count else { return false }
      return candidate.bytes.indices.allSatisfy { bytes[offset + $0] == candidate.bytes[$0] }
    }
  }

  private static func spaceEnd(_ bytes: UnsafeBufferPointer<UInt8>, _ start: Int, _ limit: Int) -> Int {
    ScalarCursor(text: bytes, classes: .shared).skip(from: start, limit) { $0.isSpace }
  }

  /// Where the white space that ends at `end` begins, not before `start`.
  private static func spaceStart(_ bytes: UnsafeBufferPointer<UInt8>, _ start: Int, _ end: Int) -> Int {
    let cursor = ScalarCursor(text: bytes, classes: .shared)
    var result = end
    while result > start {
      var scalar = result - 1
      while scalar > start, bytes[scalar] & 0xC0 == 0x80 { scalar -= 1 }
      guard cursor.step(scalar, end).isSpace else { break }
      result = scalar
    }
    return result
  }
}
