import Basics
import TestSupport
import Testing

@testable import Generation

@Suite struct ForcedTextTests {
  static let words = [
    "Asks", ": ", " -", " - ", " w", "match", "mis", "\nproduct", " type", ":", "ex", "act", "exact",
    " exact", "é", "火",
    "éa",
  ]

  static func constraint(_ source: String, words: [String] = words) throws -> TokenConstraint {
    try TokenConstraint(try Grammar(gbnf: source), vocabulary: .words(words))
  }

  @Test("Forced bytes are the only way on, and stop where the text may end")
  func forced() throws {
    let outline = try ForcedTextTests.constraint(SampleGrammars.outline)
    #expect(try outline.forcedBytes(outline.start) == Array("Asks: ".utf8))
    let verdict = try #require(try outline.advance(outline.start, bytes: "Asks: x\nproduct type: u".utf8))
    #expect(try outline.forcedBytes(verdict) == Array("nspecified - ".utf8))
    let ending = try ForcedTextTests.constraint(#"root ::= "ab" "cd"?"#)
    #expect(try ending.forcedBytes(ending.start) == Array("ab".utf8))
    let end = try #require(try ending.advance(ending.start, bytes: "ab".utf8))
    #expect(try ending.forcedBytes(end).isEmpty)
    let long = try ForcedTextTests.constraint(#"root ::= "a"{1000000}"#)
    #expect(try long.forcedBytes(long.start).count == TokenConstraint.Limits().forcedBytes)
  }

  @Test("The last forced token waits where a longer one could begin, and only there")
  func heldBack() throws {
    // ": " is one token, and no token begins with it and goes on.
    let outline = try ForcedTextTests.constraint(SampleGrammars.outline)
    let start = try outline.jump(outline.start)
    #expect(ForcedTextTests.text(start.tokens) == ["Asks", ": "])
    // " - " alone would be taken whole; with " w" the same holds, as " - " is one token that nothing extends.
    let verdict = try #require(try outline.advance(outline.start, bytes: "Asks: x\nproduct type: mis".utf8))
    #expect(ForcedTextTests.text(try outline.jump(verdict).tokens) == ["match", " - "])
    // Without " - " the last token is " ", which " w" extends.
    let words = ForcedTextTests.words.filter { $0 != " - " }
    let open = try ForcedTextTests.constraint(SampleGrammars.outline, words: words)
    let after = try #require(try open.advance(open.start, bytes: "Asks: x\nproduct type: mis".utf8))
    let jump = try open.jump(after)
    #expect(ForcedTextTests.text(jump.tokens, words) == ["match", " -"])
    #expect(try open.forcedBytes(jump.state) == [0x20])
    #expect(try open.jump(jump.state) == Jump(tokens: [], state: jump.state))
    // A longer token that the grammar does not allow holds nothing back.
    let digits = try ForcedTextTests.constraint(#"root ::= "x " [0-9]"#, words: words)
    #expect(ForcedTextTests.text(try digits.jump(digits.start).tokens, words) == ["x", " "])
  }

  private static func text(_ ids: [Int32], _ words: [String] = words) -> [String] {
    ids.map { $0 < 256 ? String(decoding: [UInt8($0)], as: UTF8.self) : words[Int($0) - 256] }
  }

  @Test("A jump keeps to whole characters")
  func characters() throws {
    // é and è share their first byte, which is forced.
    let shared = try ForcedTextTests.constraint(#"root ::= "a" [éè] "b""#)
    #expect(try shared.forcedBytes(shared.start) == [0x61, 0xC3])
    let jump = try shared.jump(shared.start)
    #expect(jump.tokens == [0x61])
    // Inside a character nothing is inserted, although a byte is forced.
    let inside = try ForcedTextTests.constraint(#"root ::= "火b" | "火c""#, words: [])
    let state = try #require(try inside.advance(inside.start, bytes: [0xE7, 0x81, 0xAB]))
    #expect(try inside.jump(state).tokens.isEmpty)
    let half = try #require(try inside.advance(inside.start, bytes: [0xE7, 0x81]))
    #expect(try inside.jump(half).tokens.isEmpty)
  }

  @Test("What jumps insert is legal, forced, and the same for every way to the state")
  func legal() throws {
    for source in ConformanceTests.grammars {
      let constraint = try ForcedTextTests.constraint(source)
      var random = TestRandom(9)
      for _ in 0..<10 {
        var state = constraint.start
        for _ in 0..<30 {
          let jump = try constraint.jump(state)
          var walked = state
          for token in jump.tokens {
            #expect(try constraint.mask(walked).contains(token))
            walked = try #require(try constraint.advance(walked, token: token))
          }
          #expect(walked == jump.state)
          let bytes = jump.tokens.flatMap { Array(constraint.vocabulary.bytes(of: $0)) }
          #expect(try constraint.forcedBytes(state).starts(with: bytes))
          state = jump.state
          let mask = try constraint.mask(state)
          let allowed = (0..<Int32(constraint.vocabulary.size - 1)).filter(mask.contains)
          guard let token = allowed.randomElement(using: &random) else { break }
          state = try #require(try constraint.advance(state, token: token))
        }
      }
    }
  }
}
