import Basics
import Foundation
import TestSupport
import Testing

@testable import Generation

@Suite struct ConformanceTests {
  static let grammars = SampleGrammars.small + [SampleGrammars.outline, SampleGrammars.json]

  /// A text with a random byte removed, doubled, replaced or exchanged.
  static func mutated(_ text: [UInt8], _ random: inout TestRandom) -> [UInt8] {
    var text = text
    guard let at = text.indices.randomElement(using: &random) else { return [UInt8(ascii: "a")] }
    switch Int.random(in: 0..<4, using: &random) {
    case 0: text.remove(at: at)
    case 1: text.insert(text[at], at: at)
    case 2: text[at] = UInt8.random(in: 0...255, using: &random)
    default: text.swapAt(at, text.indices.randomElement(using: &random) ?? at)
    }
    return text
  }

  @Test("Texts written from a grammar are read, and mutated ones exactly where a naive matcher reads them")
  func agreesWithNaiveMatcher() throws {
    for (index, source) in ConformanceTests.grammars.enumerated() {
      let grammar = try Grammar(gbnf: source)
      let constraint = try TokenConstraint(grammar)
      let matcher = NaiveMatcher(grammar: grammar)
      var writer = GrammarWriter(grammar: grammar, random: TestRandom(UInt64(index)))
      var random = TestRandom(UInt64(1000 + index))
      var accepted = 0
      var rejected = 0
      for _ in 0..<60 {
        guard let text = writer.text() else { continue }
        #expect(try constraint.accepts(text), "\(source) \(String(decoding: text, as: UTF8.self))")
        accepted += 1
        for _ in 0..<4 {
          let other = ConformanceTests.mutated(text, &random)
          let expected = matcher.matches(other)
          #expect(
            try constraint.accepts(other) == expected, "\(source) \(String(decoding: other, as: UTF8.self))")
          if !expected { rejected += 1 }
        }
      }
      #expect(accepted > 20 && rejected > 20, "\(source): \(accepted) accepted, \(rejected) rejected")
    }
  }

  @Test("Random walks along allowed bytes always reach an end, by the shortest way of the length told")
  func shortestCompletions() throws {
    for (index, source) in ConformanceTests.grammars.enumerated() {
      let grammar = try Grammar(gbnf: source)
      let constraint = try TokenConstraint(grammar)
      let matcher = NaiveMatcher(grammar: grammar)
      var random = TestRandom(UInt64(index))
      for _ in 0..<12 {
        var state = constraint.start
        var text: [UInt8] = []
        for _ in 0..<Int.random(in: 0...40, using: &random) {
          let mask = try constraint.mask(state)
          let allowed = (0..<256 as Range<Int32>).filter(mask.contains)
          guard let byte = allowed.randomElement(using: &random) else { break }
          text.append(UInt8(byte))
          state = try #require(try constraint.advance(state, token: byte))
        }
        let completion = try constraint.shortestCompletion(state)
        #expect(try constraint.shortestCompletionLength(state) == completion.count)
        #expect(matcher.matches(text + completion), "\(source) \(String(decoding: text, as: UTF8.self))")
        #expect(try constraint.canEnd(state) == completion.isEmpty)
      }
    }
  }

  @Test("No text shorter than the shortest completion completes: all texts up to that length are tried")
  func shortestIsShortest() throws {
    let alphabet = Array("abc()[]!,1yzwx-é€ ".utf8)
    for source in SampleGrammars.small {
      let constraint = try TokenConstraint(try Grammar(gbnf: source))
      var front: Set<Int32> = [constraint.start]
      var seen = front
      // All states within three bytes, each checked against a breadth-first search.
      for _ in 0..<3 {
        for state in front {
          #expect(
            try breadthFirst(constraint, state, alphabet) == constraint.shortestCompletionLength(state),
            "\(source)")
        }
        front = try Set(
          front.flatMap { state in try alphabet.compactMap { try constraint.advance(state, bytes: [$0]) } })
        front.subtract(seen)
        seen.formUnion(front)
      }
    }
  }

  private func breadthFirst(
    _ constraint: TokenConstraint, _ start: Int32, _ alphabet: [UInt8]
  ) throws -> Int? {
    var front: Set<Int32> = [start]
    for length in 0..<12 {
      if try front.contains(where: { try constraint.canEnd($0) }) { return length }
      front = try Set(
        front.flatMap { state in try (0...255).compactMap { try constraint.advance(state, bytes: [$0]) } })
    }
    return nil
  }

  @Test("Regular grammars make finitely many states, tail recursion included")
  func finite() throws {
    for source in [#"root ::= [a-z] root | "." "#, #"root ::= ("a" | "b" root | [^ab]*)"#] {
      let constraint = try TokenConstraint(try Grammar(gbnf: source))
      var random = TestRandom(3)
      for length in [100, 4000] {
        var state = constraint.start
        for _ in 0..<length {
          let byte = try (0...20).lazy.map { _ in UInt8.random(in: 0x61...0x7A, using: &random) }
            .compactMap { try constraint.advance(state, bytes: [$0]) }.first
          state = try #require(byte)
        }
      }
      #expect(constraint.stateCount < 12)
    }
  }
}
