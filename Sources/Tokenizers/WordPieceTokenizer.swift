import Basics
import Synchronization

/// A text or a pair of texts as an encoder reads it.
public struct EncodedText: Sendable, Hashable {
  public var ids: [Int32]
  /// 0 for the first text and its special tokens, 1 for the second text and its separator.
  public var typeIDs: [Int32]

  public init(ids: [Int32], typeIDs: [Int32]) {
    self.ids = ids
    self.typeIDs = typeIDs
  }
}

/// BERT's tokenizer: normalise, cut at white space and punctuation, then the longest pieces of each word first
/// (Wu et al., 2016; as Hugging Face's tokenizers do it).
public final class WordPieceTokenizer: Sendable {
  /// What a file says about a WordPiece tokenizer.
  public struct Settings: Sendable {
    public var normalizer = BertNormalizer()
    /// Marks pieces inside a word.
    public var prefix = "##"
    /// Longer words become the unknown token.
    public var longestWord = 100
    public var unknown = "[UNK]"
    public var classification = "[CLS]"
    public var separator = "[SEP]"
    public var padding = "[PAD]"

    public init() {}
  }

  public let settings: Settings
  public let unknownID: Int32
  public let classificationID: Int32
  public let separatorID: Int32
  public let paddingID: Int32?
  private let vocabulary: WordPieceVocabulary
  private let before: AddedTokenMatcher
  private let words = Mutex<[[UInt8]: [Int32]]>([:])

  public var vocabularySize: Int { vocabulary.count }

  /// - Throws: `malformedFile` where the vocabulary lacks a special token or has a piece twice.
  public init(pieces: [String], addedTokens: [VocabularySpec.AddedToken], settings: Settings) throws {
    let vocabulary = try WordPieceVocabulary(pieces, prefix: settings.prefix)
    func id(_ token: String, _ field: String) throws -> Int32 {
      guard let id = vocabulary.id(of: token) else {
        throw VocabularySpec.malformed("\"\(token.prefix(64))\" is not in the vocabulary", field: field)
      }
      return id
    }
    for token in addedTokens where token.id < 0 || Int(token.id) >= pieces.count {
      throw VocabularySpec.malformed("token id \(token.id) is out of range", field: "added_tokens")
    }
    guard settings.longestWord > 0 else {
      throw VocabularySpec.malformed("words may have no characters", field: "max_input_chars_per_word")
    }
    unknownID = try id(settings.unknown, "unk_token")
    classificationID = try id(settings.classification, "cls_token")
    separatorID = try id(settings.separator, "sep_token")
    paddingID = vocabulary.id(of: settings.padding)
    self.vocabulary = vocabulary
    self.settings = settings
    before = AddedTokenMatcher(addedTokens)
  }

  /// The text of a token id, or nil outside the vocabulary.
  public func piece(_ id: Int32) -> String? { vocabulary.piece(id) }

  /// The pieces of a text, without the tokens around it.
  ///
  /// - Parameter parseSpecial: whether special tokens written in the text (`[SEP]`) become that token.
  public func pieces(of text: String, parseSpecial: Bool = true) -> [Int32] {
    var output: [Int32] = []
    guard !before.isEmpty else {
      appendPlain(text, to: &output)
      return output
    }
    var text = text
    text.withUTF8 { bytes in
      before.split(
        bytes, 0..<bytes.count, matchSpecial: parseSpecial,
        text: { appendPlain(String(decoding: bytes[$0], as: UTF8.self), to: &output) },
        match: { output.append($0) })
    }
    return output
  }

  /// `[CLS] text [SEP]`, cut to `maximumLength` tokens in all.
  ///
  /// - Throws: `invalidArgument` for fewer than 2.
  public func encode(_ text: String, maximumLength: Int, parseSpecial: Bool = true) throws -> EncodedText {
    try Self.check(maximumLength, least: 2)
    let body = pieces(of: text, parseSpecial: parseSpecial).prefix(maximumLength - 2)
    let ids = [classificationID] + body + [separatorID]
    return EncodedText(ids: ids, typeIDs: [Int32](repeating: 0, count: ids.count))
  }

  /// `[CLS] first [SEP] second [SEP]`, the longer text cut first, to `maximumLength` tokens in all.
  ///
  /// - Throws: `invalidArgument` for fewer than 3.
  public func encode(
    _ first: String, pair second: String, maximumLength: Int, parseSpecial: Bool = true
  ) throws -> EncodedText {
    try Self.check(maximumLength, least: 3)
    let (a, b) = (
      pieces(of: first, parseSpecial: parseSpecial), pieces(of: second, parseSpecial: parseSpecial)
    )
    let kept = Self.longestFirst(a.count, b.count, room: maximumLength - 3)
    let head = [classificationID] + a.prefix(kept.first) + [separatorID]
    let tail = b.prefix(kept.second) + [separatorID]
    return EncodedText(
      ids: head + tail,
      typeIDs: [Int32](repeating: 0, count: head.count) + [Int32](repeating: 1, count: tail.count))
  }

  private static func check(_ maximumLength: Int, least: Int) throws {
    guard maximumLength >= least else {
      throw RetortError(
        .invalidArgument, "a length of \(maximumLength) leaves no room for the special tokens",
        field: "max-length", remedy: "Give at least \(least).")
    }
  }

  /// How many tokens of each text are kept, as Hugging Face's tokenizers 0.x cut: the shorter text stays whole
  /// where it takes at most half of the room, else both get half, the longer one the odd token.
  static func longestFirst(_ first: Int, _ second: Int, room: Int) -> (first: Int, second: Int) {
    guard first > room || second > room - first else { return (first, second) }
    var (short, long) = (min(first, second), max(first, second))
    long = short > room ? short : max(short, room - short)
    if long > room - short {
      short = room / 2
      long = short + room % 2
    }
    return first > second ? (long, short) : (short, long)
  }

  /// Words of white-space-free text, cut at punctuation, and their pieces.
  private func appendPlain(_ text: String, to output: inout [Int32]) {
    var word: [UInt8] = []
    var characters = 0
    func finish() {
      if !word.isEmpty { append(word, characters, to: &output) }
      word.removeAll(keepingCapacity: true)
      characters = 0
    }
    for scalar in settings.normalizer.apply(text) {
      if BertCharacters.isSpace(scalar) {
        finish()
      } else if BertCharacters.isPunctuation(scalar) {
        finish()
        append(Array(UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter), 1, to: &output)
      } else {
        if scalar.isASCII {
          word.append(UInt8(scalar.value))
        } else {
          word.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
        }
        characters += 1
      }
    }
    finish()
  }

  /// Words that are kept with their pieces.
  private static let cachedWords = 1 << 15

  private func append(_ word: [UInt8], _ characters: Int, to output: inout [Int32]) {
    guard characters <= settings.longestWord else { return output.append(unknownID) }
    if let known = words.withLock({ $0[word] }) { return output.append(contentsOf: known) }
    let pieces = vocabulary.split(word) ?? [unknownID]
    words.withLock { if $0.count < Self.cachedWords { $0[word] = pieces } }
    output.append(contentsOf: pieces)
  }
}
