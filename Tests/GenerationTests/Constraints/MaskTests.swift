import Basics
import Foundation
import TestSupport
import Testing
import Tokenizers

@testable import Generation

@Suite struct MaskTests {
  static let folders = ["gpt2", "smollm", "llama3", "qwen2"]

  static func tokenizer(_ name: String) throws -> Tokenizer {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appending(path: "Fixtures/tokenizers-bpe/\(name)").path
    return try Tokenizer(VocabularySpec(huggingFaceFolder: folder))
  }

  @Test("A mask allows a token exactly where its bytes can be read one by one", arguments: folders)
  func bruteForce(folder: String) throws {
    let tokenizer = try MaskTests.tokenizer(folder)
    let vocabulary = TokenVocabulary(tokenizer, size: tokenizer.vocabularySize + 37)
    for (index, source) in ConformanceTests.grammars.enumerated() {
      let constraint = try TokenConstraint(try Grammar(gbnf: source), vocabulary: vocabulary)
      var random = TestRandom(UInt64(index))
      var state = constraint.start
      for _ in 0..<8 {
        let mask = try constraint.mask(state)
        var allowed: [Int32] = []
        for id in 0..<Int32(vocabulary.size) {
          let expected = try isAllowed(id, state, constraint, tokenizer)
          #expect(mask.contains(id) == expected, "\(source) token \(id)")
          if expected { allowed.append(id) }
        }
        #expect(mask.count == allowed.count)
        #expect(!allowed.isEmpty)
        let texts = allowed.filter { !tokenizer.endOfGenerationIDs.contains($0) }
        guard let token = texts.randomElement(using: &random) else { break }
        state = try #require(try constraint.advance(state, token: token))
      }
    }
  }

  private func isAllowed(
    _ id: Int32, _ state: Int32, _ constraint: TokenConstraint, _ tokenizer: Tokenizer
  ) throws -> Bool {
    if tokenizer.endOfGenerationIDs.contains(id) { return try constraint.canEnd(state) }
    if tokenizer.isSpecial(id) { return false }
    let bytes = tokenizer.tokenBytes(id)
    return try !bytes.isEmpty && constraint.advance(state, bytes: bytes) != nil
  }

  @Test(
    "Jumps of a real tokenizer join to the forced text and stop before a token that could be longer",
    arguments: folders)
  func jumps(folder: String) throws {
    let tokenizer = try MaskTests.tokenizer(folder)
    let constraint = try TokenConstraint(
      try Grammar(gbnf: SampleGrammars.outline), vocabulary: TokenVocabulary(tokenizer))
    let text = "Asks: running shoes\nproduct type: match - a shoe\nbrand: unspecified - none\nLabel: partial"
    var state = constraint.start
    var forced = 0
    for byte in text.utf8 {
      let jump = try constraint.jump(state)
      let bytes = jump.tokens.flatMap { tokenizer.tokenBytes($0) }
      #expect(try constraint.forcedBytes(state).starts(with: bytes))
      #expect(try constraint.advance(state, bytes: bytes) == jump.state)
      if !jump.tokens.isEmpty {
        let whole = try String(decoding: constraint.forcedBytes(state), as: UTF8.self)
        #expect(tokenizer.encode(whole).starts(with: jump.tokens))
        forced += 1
      }
      state = try #require(try constraint.advance(state, bytes: [byte]))
    }
    #expect(forced > 10)
    #expect(try constraint.canEnd(state))
    #expect(try constraint.mask(state).count == tokenizer.endOfGenerationIDs.count)
  }

  @Test("A byte without a token is in no text, so that no text ends where no token goes on")
  func missingBytes() throws {
    let vocabulary = TokenVocabulary.words(["éx", "ab"], without: [0xA9, 0x62])
    let grammar = try Grammar(gbnf: #"root ::= ("é" | "a" | "b" | "è")+"#)
    let constraint = try TokenConstraint(grammar, vocabulary: vocabulary)
    #expect(try constraint.accepts("aèa"))
    #expect(try !constraint.accepts("é"))
    #expect(try !constraint.accepts("ab"))
    let none = try Grammar(gbnf: #"root ::= "b""#)
    #expect(thrown { _ = try TokenConstraint(none, vocabulary: vocabulary) }?.code == .malformedFile)
  }

  @Test("Masks that are dropped come back the same, and equal ones share a number")
  func cache() throws {
    var limits = TokenConstraint.Limits()
    limits.maskBytes = 0
    let grammar = try Grammar(gbnf: SampleGrammars.outline)
    let small = try TokenConstraint(grammar, limits: limits)
    let large = try TokenConstraint(grammar)
    let states = try (0..<10).map {
      try #require(try large.advance(large.start, bytes: "Asks: some text".utf8.prefix($0)))
    }
    for (index, _) in (states + states).enumerated() {
      let length = index % states.count
      let state = try #require(try small.advance(small.start, bytes: "Asks: some text".utf8.prefix(length)))
      #expect(try small.mask(state).words == large.mask(states[length]).words)
    }
    // Far from the end of the text's sixty characters the masks of single bytes are equal.
    let first = try large.mask(states[7])
    let second = try large.mask(states[8])
    #expect(first.words == second.words && first.number == second.number)
    #expect(try large.mask(states[0]).number != first.number)
  }

  @Test("Released states make room, and those kept go on as before")
  func release() throws {
    var limits = TokenConstraint.Limits()
    limits.states = 200
    let grammar = try Grammar(gbnf: #"root ::= "[" (root ("," root)*)? "]" | "{" root "}" | [0-9]{1,9}"#)
    let bounded = try TokenConstraint(grammar, limits: limits)
    let free = try TokenConstraint(grammar)
    var random = TestRandom(5)
    var texts = [[UInt8]](repeating: [], count: 3)
    var states = [Int32](repeating: bounded.start, count: 3)
    var released: Int32?
    for round in 0..<600 {
      let at = round % 3
      if bounded.stateCount > 80 {
        let before = bounded.stateCount
        bounded.releaseStates(keeping: Set(states))
        #expect(bounded.stateCount <= 4)
        let live = states
        released = (0..<Int32(before)).first { $0 != bounded.start && !live.contains($0) }
        let void = try #require(released)
        #expect(thrown { _ = try bounded.mask(void) }?.code == .invalidArgument)
      }
      let mask = try bounded.mask(states[at])
      let expected = try #require(try free.advance(free.start, bytes: texts[at]))
      #expect(try mask.words == free.mask(expected).words)
      #expect(try bounded.shortestCompletion(states[at]) == free.shortestCompletion(expected))
      // Brackets are favoured, so that stacks grow.
      let allowed = (0..<256 as Range<Int32>).filter(mask.contains)
      let deep = allowed.filter { [0x5B, 0x7B].contains($0) }
      guard
        let byte = (Bool.random(using: &random) && !deep.isEmpty ? deep : allowed).randomElement(
          using: &random)
      else {
        (texts[at], states[at]) = ([], bounded.start)
        continue
      }
      texts[at].append(UInt8(byte))
      states[at] = try #require(try bounded.advance(states[at], token: byte))
    }
    #expect(released != nil)
  }

  @Test("Several threads get the same states and masks as one")
  func threads() async throws {
    let grammar = try Grammar(gbnf: SampleGrammars.json)
    let shared = try TokenConstraint(grammar)
    let text = Array(#"{"a": [1, {"b": "c"}, "é"]}"#.utf8)
    let alone = try TokenConstraint(grammar)
    let expected = try (0...text.count).map {
      try alone.mask(try #require(try alone.advance(alone.start, bytes: text[..<$0]))).words
    }
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for task in 0..<8 {
        group.addTask {
          for index in 0...text.count {
            let length = task % 2 == 0 ? index : text.count - index
            guard let state = try shared.advance(shared.start, bytes: text[..<length]) else { return false }
            guard try shared.mask(state).words == expected[length] else { return false }
          }
          return true
        }
      }
      for try await isSame in group { #expect(isSame) }
    }
  }
}
