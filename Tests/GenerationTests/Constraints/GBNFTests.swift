import Basics
import Testing

@testable import Generation

@Suite struct GBNFTests {
  @Test("Strings, classes, counts and comments mean what llama.cpp means by them")
  func syntax() throws {
    let cases: [(String, accepted: [String], rejected: [String])] = [
      (#"root ::= "a\n\"\\\x41\u00e9""#, ["a\n\"\\Aé"], ["a"]),
      ("root::=[a-c]+ # comment \"(\n  | \"x\" {2} # another\n", ["a", "abc", "xx"], ["", "x", "xxx", "d"]),
      (#"root ::= [^\n\]"] [\x30-\x32-]"#, ["a0", "é-", "[2"], ["\n0", "]0", "\"0", "a3"]),
      (#"root ::= ("a" | ) "b"? sub-rule_1* sub-rule_1 ::= "c" "#, ["", "a", "b", "abcc"], ["ba", "abca"]),
      (#"root ::= "a"{0} "b"{1,} . "#, ["bx", "bb火"], ["b", "ab", "bé!x"]),
      (#"root ::= "" "#, [""], ["a"]),
      (#"root ::= ("ab"){2,3}"#, ["abab", "ababab"], ["ab", "abababab", "aba"]),
      ("root ::= a b\na ::= \"x\"\n\n\nb ::=\n  \"y\"\n", ["xy"], ["x", "y"]),
    ]
    for (source, accepted, rejected) in cases {
      let constraint = try TokenConstraint(try Grammar(gbnf: source))
      for text in accepted { #expect(try constraint.accepts(text), "\(source) \(text)") }
      for text in rejected { #expect(try !constraint.accepts(text), "\(source) \(text)") }
    }
  }

  @Test("Nested JSON is followed exactly, however deep")
  func recursion() throws {
    let constraint = try TokenConstraint(try Grammar(gbnf: SampleGrammars.json))
    let deep = "{\"a\":" + String(repeating: "[", count: 300)
    #expect(try constraint.accepts(deep + String(repeating: "]", count: 300) + "}"))
    #expect(try !constraint.accepts(deep + String(repeating: "]", count: 299) + "}"))
    #expect(try !constraint.accepts(deep + String(repeating: "]", count: 301) + "}"))
    #expect(
      try constraint.accepts(#"{"k": [1, -2.5e3, "x\né"], "m": {"t": true}}"#.replacing("\n", with: "\\n")))
    #expect(try !constraint.accepts(#"{"k": [1, ]}"#))
    #expect(try !constraint.accepts(#"[1]"#))
  }

  @Test(
    "Broken grammars are refused with rule, line and column",
    arguments: [
      ("root ::= a\nb ::= \"x\"", "the rule a is not defined", nil, "line 1, column 10"),
      ("a ::= \"x\"", "no rule named root", "root", nil),
      ("root ::= \"abc", "a string does not end", "root", "line 1, column 10"),
      ("root ::= \"a\"\nb ::= [a-", "a class does not end", "b", "line 2, column 7"),
      ("root ::= (\"a\"\n", "a group does not end", "root", "line 1, column 10"),
      ("root ::= \"a\")", "unexpected \")\"", "root", "line 1, column 13"),
      ("root ::= [z-a]", "a range ends before it begins", "root", "line 1, column 11"),
      ("root ::= \"a\"{3,1}", "ends before it begins", "root", "line 1, column 13"),
      ("root ::= \"a\"{,1}", "has no count", "root", "line 1, column 13"),
      ("root ::= \"a\"{2000000}", "a repetition of more than", "root", "line 1, column 14"),
      ("root ::= \"a\"{99999999999999999999}", "a repetition of more than", "root", "line 1, column 14"),
      ("root ::= \"\\q\"", "unknown escape", "root", "line 1, column 11"),
      ("root ::= \"\\x4\"", "needs 2 hexadecimal digits", "root", "line 1, column 11"),
      ("root ::= \"\\uD800\"", "not a Unicode scalar", "root", "line 1, column 11"),
      ("root ::= \"a\"\nroot ::= \"b\"", "defined twice", "root", "line 2, column 1"),
      ("root ::= root \"a\" | \"b\"", "begins with itself (root → root)", "root", "line 1, column 1"),
      (
        "root ::= \"z\" a\na ::= \"\" b\nb ::= [0-9]? a", "begins with itself (a → b → a)", "a",
        "line 2, column 1"
      ),
      ("root ::= (\"x\"* root)?", "begins with itself", "root", "line 1, column 1"),
      ("root = \"a\"", "\"::=\" is missing after root", "root", "line 1, column 6"),
      ("root ::= \"a\" <[3]>", "unexpected \"<\"", "root", "line 1, column 14"),
      ("", "no rule named root", "root", nil),
    ] as [(String, String, String?, String?)])
  func broken(source: String, message: String, rule: String?, position: String?) throws {
    let error = try #require(thrown { _ = try Grammar(gbnf: source, file: "g.gbnf") })
    #expect(error.code == .malformedFile)
    #expect(error.message.contains(message), "\(error)")
    #expect(error.field == rule, "\(error)")
    #expect(error.position == position, "\(error)")
    #expect(error.file == "g.gbnf")
    #expect(error.remedy.hasSuffix(".") || error.remedy.hasSuffix("…"), "\(error)")
  }

  @Test("A grammar without an end, too ambiguous or with too many states is refused, not followed")
  func limits() throws {
    for source in ["root ::= \"a\" root", "root ::= []", "root ::= \"a\" b b ::= \"x\" b | [] "] {
      #expect(
        thrown { _ = try TokenConstraint(try Grammar(gbnf: source)) }?.code == .malformedFile, "\(source)")
    }
    let ambiguous = try TokenConstraint(
      try Grammar(gbnf: "root ::= ((\"a\"{1,900} \"b\"?){1,900} \"c\"?){1,900}"))
    #expect(
      thrown { _ = try ambiguous.advance(ambiguous.start, bytes: [UInt8](repeating: 0x61, count: 400)) }?.code
        == .outOfMemory)
    var limits = TokenConstraint.Limits()
    limits.states = 50
    let nested = try TokenConstraint(try Grammar(gbnf: "root ::= \"(\" root \")\" | \"\""), limits: limits)
    #expect(try nested.accepts("(((())))"))
    #expect(
      thrown { _ = try nested.advance(nested.start, bytes: [UInt8](repeating: 0x28, count: 100)) }?.code
        == .outOfMemory)
    let size = 200_000
    let wide = "root ::= " + (0..<size).map { "\"\($0 % 10)a\"" }.joined(separator: "|")
    #expect(throws: Never.self) { try Grammar(gbnf: wide) }
    let chain =
      "root ::= r0\n" + (0..<5_000).map { "r\($0) ::= \"a\"? r\($0 + 1)\n" }.joined() + "r5000 ::= \"b\""
    #expect(try TokenConstraint(try Grammar(gbnf: chain)).accepts("aab"))
    let counted = try TokenConstraint(try Grammar(gbnf: "root ::= ((\"a\"{1000}){1000}){1000} | \"b\""))
    #expect(try counted.shortestCompletion(counted.start) == [0x62])
    let state = try #require(try counted.advance(counted.start, bytes: [0x61]))
    #expect(try counted.shortestCompletionLength(state) == 999_999_999)
    #expect(thrown { _ = try counted.shortestCompletion(state) }?.code == .invalidArgument)
    #expect(thrown { _ = try counted.mask(1 << 20) }?.code == .invalidArgument)
  }
}
