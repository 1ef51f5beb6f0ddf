import Basics
import Foundation
import TestSupport
import Testing

@testable import Tokenizers

@Suite struct WordPieceTests {
  struct Case: Decodable {
    let text: String
    let pair: String?
    let maxLength: Int?
    let ids: [Int32]

    enum CodingKeys: String, CodingKey {
      case text, pair, ids
      case maxLength = "max_length"
    }
  }

  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/tiny-bert")

  static func json<Value: Decodable>(_ type: Value.Type, _ name: String) throws -> Value {
    try JSONDecoder().decode(type, from: Data(contentsOf: root.appendingPathComponent(name)))
  }

  @Test func textsOfManyScriptsHaveTheReferencesTokens() throws {
    let tokenizer = try WordPieceTokenizer(folder: Self.root.path + "/exact")
    for item in try Self.json([Case].self, "tokens.json") {
      let length = item.maxLength ?? .max
      let encoded =
        try item.pair.map { try tokenizer.encode(item.text, pair: $0, maximumLength: length) }
        ?? tokenizer.encode(item.text, maximumLength: length)
      #expect(encoded.ids == item.ids, "\(item.text.debugDescription)")
      #expect(encoded.typeIDs.count == encoded.ids.count)
    }
  }

  @Test(arguments: ["removed", "mark", "punctuation"])
  func characterClassesAreTheReferences(_ name: String) throws {
    let ranges = try #require(try Self.json([String: [[UInt32]]].self, "classes.json")[name])
    var members = Set<UInt32>()
    for range in ranges { members.formUnion(range[0]...range[1]) }
    var wrong: [UInt32] = []
    for value in UInt32(0)..<0x110000 {
      guard let scalar = Unicode.Scalar(value) else { continue }
      let isMember =
        switch name {
        case "removed": BertCharacters.isRemoved(scalar)
        case "mark": BertCharacters.isMark(scalar)
        default: BertCharacters.isPunctuation(scalar)
        }
      if isMember != members.contains(value) { wrong.append(value) }
    }
    #expect(wrong.isEmpty)
  }

  @Test func theLongerTextIsCutFirst() {
    for (first, second, room, kept) in [
      (3, 4, 10, (3, 4)), (10, 2, 6, (4, 2)), (2, 10, 6, (2, 4)), (10, 10, 7, (3, 4)), (11, 10, 7, (4, 3)),
      (9, 9, 0, (0, 0)), (0, 9, 4, (0, 4)), (3, 9, 7, (3, 4)),
    ] {
      let actual = WordPieceTokenizer.longestFirst(first, second, room: room)
      #expect(actual == kept, "\(first), \(second) in \(room)")
    }
  }

  @Test func lengthsWithoutRoomThrow() throws {
    let tokenizer = try WordPieceTokenizer(folder: Self.root.path + "/exact")
    for body in [
      { _ = try tokenizer.encode("a", maximumLength: 1) },
      { _ = try tokenizer.encode("a", pair: "b", maximumLength: 2) },
      { _ = try tokenizer.encode("a", maximumLength: -5) },
    ] {
      let error = #expect(throws: RetortError.self) { try body() }
      #expect(error?.code == .invalidArgument)
    }
    #expect(try tokenizer.encode("a b", maximumLength: 2).ids == [2, 3])
  }

  @Test func damagedVocabulariesThrow() throws {
    func code(_ pieces: [String], added: [VocabularySpec.AddedToken] = [], longest: Int = 100) -> RetortError
      .Code?
    {
      var settings = WordPieceTokenizer.Settings()
      settings.longestWord = longest
      do {
        _ = try WordPieceTokenizer(pieces: pieces, addedTokens: added, settings: settings)
        return nil
      } catch { return (error as? RetortError)?.code }
    }
    let whole = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "##b"]
    #expect(code(whole) == nil)
    #expect(code(whole + ["a"]) == .malformedFile)
    #expect(code(["[UNK]", "[CLS]"]) == .malformedFile)
    #expect(code([]) == .malformedFile)
    #expect(code(whole, longest: 0) == .malformedFile)
    #expect(code(whole, added: [.init(id: 6, content: "x", isSpecial: true)]) == .malformedFile)
  }

  @Test func cutAndChangedFilesNeverCrash() throws {
    let bytes = [UInt8](try Data(contentsOf: Self.root.appendingPathComponent("exact/tokenizer.json")))
    var generator = TestRandom(9)
    for round in 0..<300 {
      var changed = bytes
      if round % 3 == 0 {
        changed.removeLast(Int.random(in: 1..<bytes.count, using: &generator))
      } else {
        for _ in 0..<3 {
          changed[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(
            in: 0...255, using: &generator)
        }
      }
      do {
        let root = try changed.withUnsafeBufferPointer { try JSONParser.parse($0) }
        let tokenizer = try WordPieceTokenizer(root)
        #expect(try tokenizer.encode("Red shoes, größer!", maximumLength: 8).ids.count <= 8)
      } catch is RetortError {
        continue
      }
    }
  }
}
