import Basics
import Testing

@testable import Tokenizers

struct VocabularySpecTests {
  private func spec(_ tokens: [String], _ merges: [String]) -> VocabularySpec {
    VocabularySpec(tokens: tokens, merges: merges, preTokenizer: .gpt2)
  }

  private func expectMalformed(_ spec: VocabularySpec, field: String) throws {
    let error = try #require(throws: RetortError.self) { try Tokenizer(spec) }
    #expect(error.code == .malformedFile)
    #expect(error.field == field)
  }

  @Test func lowestRankMergesFirstAndLeftmost() throws {
    let tokenizer = try Tokenizer(spec(["a", "b", "aa", "ab", "aab"], ["a b", "a a", "a ab"]))
    #expect(tokenizer.encode("aab") == [4])
    #expect(tokenizer.encode("aaa") == [2, 0])
    #expect(tokenizer.encode(String(repeating: "a", count: 101)).count == 51)
  }

  @Test func brokenMergesAreRefused() throws {
    try expectMalformed(spec(["a", "b", "ab"], ["a c"]), field: "merges")
    try expectMalformed(spec(["a", "b", "ab"], ["ab"]), field: "merges")
    try expectMalformed(spec(["a", "b"], ["a b"]), field: "merges")
    try expectMalformed(spec(["a", "b", "ab"], ["a b", "a b"]), field: "merges")
    try expectMalformed(spec(["a", "b", "ab"], []), field: "merges")
  }

  @Test func brokenVocabulariesAreRefused() throws {
    try expectMalformed(spec([], []), field: "tokens")
    try expectMalformed(spec(["a", "a"], []), field: "tokens")
    var outside = spec(["a"], [])
    outside.eosID = 1
    try expectMalformed(outside, field: "eos id")
  }

  @Test func otherKindsAndPreTokenizersAreNamed() throws {
    var pieces = spec(["a"], [])
    pieces.kind = .sentencePiece
    let refusal = try #require(throws: RetortError.self) { try Tokenizer(pieces) }
    #expect(refusal.code == .unsupported)
    let error = try #require(throws: RetortError.self) { try PreTokenizer(ggufName: "tekken") }
    #expect(error.message.contains("tekken"))
  }

  @Test func variationSelectorsBlockComposition() {
    let text = "O\u{FE0F}\u{31B} e\u{301}"
    #expect(NormalizationFormC.apply(text).unicodeScalars.map(\.value) == [0x4F, 0xFE0F, 0x31B, 0x20, 0xE9])
  }
}
