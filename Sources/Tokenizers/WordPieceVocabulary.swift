import Basics

/// The pieces of a WordPiece vocabulary by text, those inside a word apart from those at its start.
struct WordPieceVocabulary: Sendable {
  private let pieces: [String]
  private let starts: [[UInt8]: Int32]
  private let inner: [[UInt8]: Int32]
  /// Bytes of the longest piece, its prefix left out.
  private let longest: Int

  var count: Int { pieces.count }

  /// - Throws: `malformedFile` where two ids have the same text.
  init(_ pieces: [String], prefix: String) throws {
    self.pieces = pieces
    let prefix = Array(prefix.utf8)
    var (starts, inner, longest) = ([[UInt8]: Int32](), [[UInt8]: Int32](), 0)
    for (id, piece) in pieces.enumerated() where !piece.isEmpty {
      let bytes = Array(piece.utf8)
      guard starts.updateValue(Int32(id), forKey: bytes) == nil else {
        throw VocabularySpec.malformed("two tokens are \"\(piece.prefix(64))\"", field: "vocab")
      }
      longest = max(longest, bytes.count)
      if bytes.count > prefix.count, bytes.starts(with: prefix) {
        inner[Array(bytes.dropFirst(prefix.count))] = Int32(id)
      }
    }
    (self.starts, self.inner, self.longest) = (starts, inner, longest)
  }

  func id(of piece: String) -> Int32? { starts[Array(piece.utf8)] }

  func piece(_ id: Int32) -> String? {
    id >= 0 && Int(id) < pieces.count ? pieces[Int(id)] : nil
  }

  /// The longest piece first, from the word's start to its end; nil where no piece fits.
  func split(_ word: [UInt8]) -> [Int32]? {
    var result: [Int32] = []
    var start = 0
    while start < word.count {
      var end = min(word.count, start + longest)
      var found: Int32?
      let table = start == 0 ? starts : inner
      while end > start {
        // A piece ends between characters.
        if end == word.count || word[end] & 0xC0 != 0x80 {
          found = table[Array(word[start..<end])]
          if found != nil { break }
        }
        end -= 1
      }
      guard let found else { return nil }
      result.append(found)
      start = end
    }
    return result
  }
}
