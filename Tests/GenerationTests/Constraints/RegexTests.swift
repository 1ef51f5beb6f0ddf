import Basics
import Foundation
import TestSupport
import Testing

@testable import Generation

@Suite struct RegexTests {
  static let expressions = [
    "", "a", "abc", "a|b|", "a*b+c?", "[a-c]{2,3}", "(a|bc)*", "(?:ab)+c{2}", "[^ab]*", "a{2,}", "(a|b)*?abb",
    #"\d+(\.\d{1,2})?"#, #"\w+ \w*"#, #"[\w-]+@[\w.]+"#, #"\S*\s\S*"#, #"\D\W?"#, "(?<name>a|é)+b", ".{2,4}",
    "[é-ö]+|火",
    #"\u00e9?\x61*"#, #"[\]\\^-]+"#, #"a\.b\*c\?"#, "^ab$", "^a|b$", "((a?b){0,2}|c){1,3}", "[a-]{1,2}b",
    "x(|y)z",
  ]

  @Test("Expressions match whole texts as Foundation's do")
  func agreesWithFoundation() throws {
    let alphabet = Array("aabbccxyz019 .-@éö火\\^]*?_").map(String.init)
    for (index, expression) in RegexTests.expressions.enumerated() {
      let constraint = try TokenConstraint(try Grammar(regex: expression))
      // Foundation's words have letters of every script, ECMA's those of ASCII.
      let ascii = expression.replacing("\\w", with: "[A-Za-z0-9_]").replacing("\\W", with: "[^A-Za-z0-9_]")
      let oracle = try NSRegularExpression(pattern: "^(?:\(ascii))\\z")
      var writer = GrammarWriter(grammar: try Grammar(regex: expression), random: TestRandom(UInt64(index)))
      var random = TestRandom(UInt64(index))
      var matches = 0
      for round in 0..<150 {
        var text = (0..<Int.random(in: 0...5, using: &random))
          .map { _ in alphabet.randomElement(using: &random) ?? "" }.joined()
        // Random texts seldom match, so half of them are changed copies of matching ones.
        if round % 2 == 0, let written = writer.text() {
          text = String(decoding: written, as: UTF8.self).filter { alphabet.contains(String($0)) }
        }
        let expected = oracle.firstMatch(in: text, range: NSRange(text.startIndex..., in: text)) != nil
        #expect(try constraint.accepts(text) == expected, "\(expression) \(text.debugDescription)")
        if expected { matches += 1 }
      }
      #expect(matches > 0, "\(expression)")
    }
  }

  @Test(
    "What is not regular or not well formed is refused with its place",
    arguments: [
      ("a(?=b)", "unsupported", 2), ("(?<!a)b", "unsupported", 1), ("(?i)a", "unsupported", 1),
      (#"(a)\1"#, "unsupported", 4), (#"(?<n>a)\k<n>"#, "unsupported", 8), (#"a\bc"#, "unsupported", 2),
      (#"\p{L}"#, "unsupported", 1), ("(ab", "malformed-file", 1), ("ab)", "malformed-file", 3),
      ("[ab", "malformed-file", 1), ("[b-a]", "malformed-file", 2), ("a{3,2}", "malformed-file", 2),
      ("a{", "malformed-file", 2), ("*a", "malformed-file", 1), ("a**", "malformed-file", 3),
      ("a$b", "malformed-file", 3), ("a^b", "malformed-file", 2), ("(a$)", "malformed-file", 3),
      (#"\y"#, "malformed-file", 1), (#"\x0"#, "malformed-file", 1), (#"\ud800"#, "malformed-file", 1),
      ("a\\", "malformed-file", 2), ("a{9999999}", "malformed-file", 2), ("(?<n", "malformed-file", 1),
    ])
  func refused(expression: String, code: String, character: Int) throws {
    let error = try #require(thrown { _ = try Grammar(regex: expression) })
    #expect(error.code.rawValue == code, "\(error)")
    #expect(error.position == "character \(character)", "\(error)")
  }

  @Test("Deep nesting is refused, not followed")
  func deep() {
    let deep = String(repeating: "(", count: 100_000)
    #expect(thrown { _ = try Grammar(regex: deep) }?.code == .malformedFile)
    #expect(thrown { _ = try Grammar(gbnf: "root ::= " + deep) }?.code == .malformedFile)
    let list = String(repeating: "[", count: 100_000)
    #expect(thrown { _ = try Grammar(jsonSchema: list) }?.code == .malformedFile)
  }

  @Test("Cut and changed expressions and grammars throw or compile, and never crash")
  func mutations() throws {
    var random = TestRandom(4)
    let cases: [(String, (String) throws -> Grammar)] =
      RegexTests.expressions.map { ($0, { try Grammar(regex: $0) }) }
      + ConformanceTests.grammars.map { ($0, { try Grammar(gbnf: $0) }) }
      + (try JSONSchemaTests.cases()).map { ($0.schema, { try Grammar(jsonSchema: $0) }) }
    var compiled = 0
    for (text, read) in cases {
      for _ in 0..<20 {
        let bytes = ConformanceTests.mutated(Array(text.utf8), &random)
        guard let changed = String(validating: bytes, as: UTF8.self), let grammar = try? read(changed) else {
          continue
        }
        guard let constraint = try? TokenConstraint(grammar) else { continue }
        compiled += 1
        #expect(try constraint.mask(constraint.start).words.count == (constraint.vocabulary.size + 31) / 32)
      }
    }
    #expect(compiled > 100)
  }
}
