import Basics
import TestSupport

@testable import Generation

/// Matches texts against a grammar's expressions by their definition: the set of places where an expression can
/// stop. Shares nothing with the automaton.
struct NaiveMatcher {
  let grammar: Grammar

  func matches(_ text: [UInt8]) -> Bool {
    ends(.rule(grammar.root), text, [0]).contains(text.count)
  }

  private func ends(_ node: GrammarNode, _ text: [UInt8], _ starts: Set<Int>) -> Set<Int> {
    if starts.isEmpty { return [] }
    switch node {
    case .literal(let bytes):
      return Set(starts.filter { text[$0...].starts(with: bytes) }.map { $0 + bytes.count })
    case .scalars(let set): return Set(starts.compactMap { end(of: set, text, $0) })
    case .sequence(let parts): return parts.reduce(starts) { ends($1, text, $0) }
    case .choice(let options):
      return options.reduce(into: []) { $0.formUnion(ends($1, text, starts)) }
    case .rule(let index): return ends(grammar.rules[index].node, text, starts)
    case .repetition(let body, let atLeast, let atMost):
      var result: Set<Int> = atLeast == 0 ? starts : []
      var front = starts
      var seen: Set<Set<Int>> = []
      var round = 0
      while !front.isEmpty, round < atMost ?? .max, round < atLeast || seen.insert(front).inserted {
        front = ends(body, text, front)
        round += 1
        if round >= atLeast { result.formUnion(front) }
      }
      return result
    }
  }

  /// Where the scalar of the set that begins at an offset ends.
  private func end(of set: ScalarSet, _ text: [UInt8], _ start: Int) -> Int? {
    for length in 1...4 where start + length <= text.count {
      let character = String(validating: text[start..<start + length], as: UTF8.self)
      if let scalar = character?.unicodeScalars.first, character?.unicodeScalars.count == 1 {
        return set.contains(scalar.value) ? start + length : nil
      }
    }
    return nil
  }
}

/// Writes random texts of a grammar from its expressions.
struct GrammarWriter {
  let grammar: Grammar
  var random: TestRandom
  /// Beyond this depth the fewest rounds and the last option are taken.
  var deepest = 12

  mutating func text() -> [UInt8]? {
    var result: [UInt8] = []
    return write(.rule(grammar.root), 0, &result) && result.count < 2000 ? result : nil
  }

  private mutating func write(_ node: GrammarNode, _ depth: Int, _ result: inout [UInt8]) -> Bool {
    guard depth < 60, result.count < 2000 else { return false }
    switch node {
    case .literal(let bytes): result += bytes
    case .scalars(let set):
      guard let range = set.ranges.randomElement(using: &random) else { return false }
      // Low scalars of a range are the likelier ones to mean something.
      let span =
        Bool.random(using: &random) ? range : range.lowerBound...min(range.upperBound, range.lowerBound + 9)
      result += ScalarSet.utf8(UInt32.random(in: span, using: &random))
    case .sequence(let parts):
      for part in parts where !write(part, depth + 1, &result) { return false }
    case .choice(let options):
      guard let option = depth > deepest ? options.last : options.randomElement(using: &random) else {
        return false
      }
      return write(option, depth + 1, &result)
    case .rule(let index): return write(grammar.rules[index].node, depth + 1, &result)
    case .repetition(let body, let atLeast, let atMost):
      let most = depth > deepest ? atLeast : min(atMost ?? .max, atLeast + 4)
      for _ in 0..<Int.random(in: atLeast...max(atLeast, most), using: &random)
      where !write(body, depth + 1, &result) { return false }
    }
    return true
  }
}

extension TokenVocabulary {
  /// Every byte and some words as tokens, an end token last; encodes byte by byte with the longest word first.
  static func words(_ words: [String] = [], without: Set<UInt8> = []) -> TokenVocabulary {
    let bytes = (0...255).map { without.contains($0) ? [] : [UInt8($0)] }
    let texts = bytes + words.map { Array($0.utf8) } + [[]]
    return TokenVocabulary(texts: texts, endTokens: [Int32(texts.count - 1)]) { text in
      var ids: [Int32] = []
      var rest = Array(text.utf8)[...]
      while let byte = rest.first {
        let word = words.indices.filter { rest.starts(with: words[$0].utf8) }
          .max { words[$0].utf8.count < words[$1].utf8.count }
        ids.append(word.map { Int32(256 + $0) } ?? Int32(byte))
        rest = rest.dropFirst(word.map { words[$0].utf8.count } ?? 1)
      }
      return ids
    }
  }
}

extension TokenConstraint {
  convenience init(_ grammar: Grammar, limits: Limits = Limits()) throws {
    try self.init(grammar, vocabulary: .words(), limits: limits)
  }

  func accepts(_ text: some Swift.Sequence<UInt8>) throws -> Bool {
    try advance(start, bytes: text).map { try canEnd($0) } ?? false
  }

  func accepts(_ text: String) throws -> Bool { try accepts(Array(text.utf8)) }
}
