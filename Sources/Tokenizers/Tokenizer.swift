import Basics
import Synchronization

/// Turns text into token ids and back, as Hugging Face's tokenizers do for the same vocabulary.
public final class Tokenizer: Sendable {
  /// The number of token ids, unused ones included.
  public let vocabularySize: Int
  public let bosID: Int32?
  public let eosID: Int32?
  public let padID: Int32?
  /// Ids at which generation ends: end of sequence and the usual end-of-turn tokens.
  public let endOfGenerationIDs: Set<Int32>
  public let preTokenizer: PreTokenizer
  /// The Jinja chat template as written in the model's file.
  public let chatTemplate: String?

  private let model: BytePairModel
  private let before: AddedTokenMatcher
  private let after: AddedTokenMatcher
  private let added: [String: Int32]
  private let special: Set<Int32>
  private let unused: Set<Int32>
  private let settings: Settings
  private let encoder: Mutex<BytePairEncoder>

  private struct Settings: Sendable {
    var addsBOS: Bool
    var addsEOS: Bool
    var addsSpacePrefix: Bool
    var normalizesNFC: Bool
  }

  private static let endOfTurn = [
    "<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<|end_of_text|>", "<|eom_id|>", "<end_of_turn>",
  ]

  /// Checks a specification and builds the tables.
  ///
  /// - Throws: `unsupported` for a kind without an implementation; `malformedFile` naming the field for ids out
  ///   of range, missing, repeated or broken tokens and merges.
  public init(_ spec: VocabularySpec) throws {
    let addedTokens = try spec.checkedAddedTokens()
    model = try BytePairModel(spec, addedTokens: addedTokens)
    vocabularySize = spec.tokens.count
    bosID = spec.bosID
    eosID = spec.eosID
    padID = spec.padID
    preTokenizer = spec.preTokenizer
    chatTemplate = spec.chatTemplate
    before = AddedTokenMatcher(addedTokens.filter { !$0.isNormalized })
    after = AddedTokenMatcher(addedTokens.filter(\.isNormalized))
    added = Dictionary(addedTokens.map { ($0.content, $0.id) }) { $1 }
    special = Set(addedTokens.filter(\.isSpecial).map(\.id))
    unused = Set(spec.tokenTypes.indices.filter { spec.tokenTypes[$0] == .unused }.map { Int32($0) })
    settings = Settings(
      addsBOS: spec.addsBOS, addsEOS: spec.addsEOS, addsSpacePrefix: spec.addsSpacePrefix,
      normalizesNFC: spec.normalizesNFC)
    var ends = Set([spec.eosID, spec.eotID].compactMap(\.self))
    for token in addedTokens where Tokenizer.endOfTurn.contains(token.content) { ends.insert(token.id) }
    endOfGenerationIDs = ends
    encoder = Mutex(BytePairEncoder(model: model))
  }

  /// The token ids of a text.
  ///
  /// - Parameters:
  ///   - parseSpecial: whether control tokens written in the text (`<|im_end|>`) become that token.
  ///   - addSpecial: whether the vocabulary's own begin and end tokens are added, where it asks for them.
  public func encode(_ text: String, parseSpecial: Bool = true, addSpecial: Bool = false) -> [Int32] {
    var output: [Int32] = []
    if addSpecial, settings.addsBOS, let bosID { output.append(bosID) }
    // Whoever finds the shared encoder busy uses one of their own; results do not depend on the cache.
    let isDone: Void? = encoder.withLockIfAvailable {
      encode(text, parseSpecial: parseSpecial, with: &$0, into: &output)
    }
    if isDone == nil {
      var own = BytePairEncoder(model: model)
      encode(text, parseSpecial: parseSpecial, with: &own, into: &output)
    }
    if addSpecial, settings.addsEOS, let eosID { output.append(eosID) }
    return output
  }

  private func encode(
    _ text: String, parseSpecial: Bool, with encoder: inout BytePairEncoder, into output: inout [Int32]
  ) {
    var text = text
    text.withUTF8 { bytes in
      before.split(
        bytes, 0..<bytes.count, matchSpecial: parseSpecial,
        text: { range in
          encodeStretch(bytes, range, parseSpecial: parseSpecial, with: &encoder, into: &output)
        },
        match: { output.append($0) })
    }
  }

  /// Encodes text between added tokens: normalise, look for added tokens again, cut, merge.
  private func encodeStretch(
    _ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, parseSpecial: Bool,
    with encoder: inout BytePairEncoder, into output: inout [Int32]
  ) {
    guard settings.normalizesNFC else {
      return encodeNormalized(bytes, range, parseSpecial: parseSpecial, with: &encoder, into: &output)
    }
    var text = NormalizationFormC.apply(String(decoding: bytes[range], as: UTF8.self))
    text.withUTF8 {
      encodeNormalized($0, 0..<$0.count, parseSpecial: parseSpecial, with: &encoder, into: &output)
    }
  }

  private func encodeNormalized(
    _ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, parseSpecial: Bool,
    with encoder: inout BytePairEncoder, into output: inout [Int32]
  ) {
    guard !after.isEmpty else { return encodePlain(bytes, range, with: &encoder, into: &output) }
    after.split(
      bytes, range, matchSpecial: parseSpecial,
      text: { encodePlain(bytes, $0, with: &encoder, into: &output) },
      match: { output.append($0) })
  }

  private func encodePlain(
    _ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, with encoder: inout BytePairEncoder,
    into output: inout [Int32]
  ) {
    if settings.addsSpacePrefix, bytes[range.lowerBound] != 0x20 {
      let prefixed = [0x20] + bytes[range]
      return prefixed.withUnsafeBufferPointer {
        encodePieces($0, 0..<$0.count, with: &encoder, into: &output)
      }
    }
    encodePieces(bytes, range, with: &encoder, into: &output)
  }

  private func encodePieces(
    _ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, with encoder: inout BytePairEncoder,
    into output: inout [Int32]
  ) {
    preTokenizer.forEachPiece(of: bytes, in: range) {
      encoder.encode(UnsafeBufferPointer(rebasing: bytes[$0]), into: &output)
    }
  }

  /// The text of token ids; invalid UTF-8 becomes U+FFFD, ids outside the vocabulary are left out.
  public func decode(_ ids: some Sequence<Int32>, skipSpecial: Bool) -> String {
    var bytes: [UInt8] = []
    for id in ids where !(skipSpecial && special.contains(id)) { bytes.append(contentsOf: tokenBytes(id)) }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The bytes a token stands for; empty for an id outside the vocabulary.
  public func tokenBytes(_ id: Int32) -> [UInt8] {
    guard id >= 0, id < vocabularySize else { return [] }
    return model.tokens.withBytes(Int(id)) { ByteLevelAlphabet.bytes(of: $0) }
  }

  /// Whether a token is a control token, which `skipSpecial` leaves out.
  public func isSpecial(_ id: Int32) -> Bool { special.contains(id) }

  /// Whether the vocabulary declares an id unused, so that no text encodes to it.
  public func isUnused(_ id: Int32) -> Bool { unused.contains(id) }

  /// The id of a token by its text: an added token's content, or a text in the byte-level alphabet.
  public func id(of token: String) -> Int32? {
    added[token] ?? model.tokens.find(Array(token.utf8))
  }
}
