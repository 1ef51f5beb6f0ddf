import Basics
import Foundation
import Testing

@testable import Relevance

@Suite struct LabelTrieTests {
  /// A made-up model: conditional probabilities over a small vocabulary, fixed by the path.
  private struct FakeModel {
    let seed: UInt64
    let vocabulary: Int32
    var sharpness = 3.0

    func probabilities(_ path: [Int32]) -> [Double] {
      var key = seed
      for token in path { key = key &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(token) &+ 1 }
      let philox = Philox(key: key)
      let weights = (0..<vocabulary).map { exp(sharpness * philox.uniform(UInt64($0))) }
      let total = weights.reduce(0, +)
      return weights.map { $0 / total }
    }

    func logProbability(_ path: [Int32], _ token: Int32) -> Double { log(probabilities(path)[Int(token)]) }
  }

  /// Walks every text of `depth` tokens and gives its probability to the longest label that begins it.
  private func enumerated(_ sequences: [[Int32]], _ model: FakeModel, depth: Int) -> [Double] {
    var shares = [Double](repeating: 0, count: sequences.count)
    func walk(_ path: [Int32], _ probability: Double) {
      guard path.count < depth else {
        let fitting = sequences.indices.filter { path.starts(with: sequences[$0]) }
        if let longest = fitting.max(by: { sequences[$0].count < sequences[$1].count }) {
          shares[longest] += probability
        }
        return
      }
      for (token, share) in model.probabilities(path).enumerated() {
        walk(path + [Int32(token)], probability * share)
      }
    }
    walk([], 1)
    let total = shares.reduce(0, +)
    return shares.map { $0 / total }
  }

  private func randomSequences(_ draw: inout Draw, vocabulary: Int32, depth: Int) -> [[Int32]] {
    var sequences: Set<[Int32]> = []
    let count = Int.random(in: 1...6, using: &draw)
    while sequences.count < count {
      let length = Int.random(in: 1...depth, using: &draw)
      sequences.insert((0..<length).map { _ in Int32.random(in: 0..<vocabulary, using: &draw) })
    }
    return sequences.sorted { $0.lexicographicallyPrecedes($1) }.shuffled(using: &draw)
  }

  @Test func distributionEqualsBruteForceEnumerationOnRandomTries() throws {
    var draw = Draw(seed: 42)
    var withPrefixes = 0
    for round in 0..<400 {
      // Shallow trees of many tokens and deep ones of few.
      let (vocabulary, depth): (Int32, Int) = round % 2 == 0 ? (7, 3) : (3, 6)
      let sequences = randomSequences(&draw, vocabulary: vocabulary, depth: depth)
      let model = FakeModel(seed: draw.next(), vocabulary: vocabulary)
      let trie = try LabelTrie(sequences: sequences)
      let found = try trie.distribution(model.logProbability)
      let expected = enumerated(sequences, model, depth: depth)
      for (a, b) in zip(found, expected) { #expect(abs(a - b) < 1e-12) }
      #expect(abs(found.reduce(0, +) - 1) < 1e-12)
      let hasPrefix = sequences.contains { long in
        sequences.contains { $0.count < long.count && long.starts(with: $0) }
      }
      if hasPrefix { withPrefixes += 1 }
    }
    #expect(withPrefixes > 100)
  }

  @Test func orderOfLabelsOnlyPermutesTheResult() throws {
    var draw = Draw(seed: 7)
    for _ in 0..<100 {
      let sequences = randomSequences(&draw, vocabulary: 4, depth: 4)
      let model = FakeModel(seed: draw.next(), vocabulary: 4)
      let order = sequences.indices.shuffled(using: &draw)
      let straight = try LabelTrie(sequences: sequences).distribution(model.logProbability)
      let shuffled = try LabelTrie(sequences: order.map { sequences[$0] }).distribution(model.logProbability)
      for (place, original) in order.enumerated() {
        #expect(abs(shuffled[place] - straight[original]) < 1e-12)
      }
    }
  }

  @Test func queriesCoverEveryTokenOfEveryLabelOnce() throws {
    var draw = Draw(seed: 9)
    for _ in 0..<200 {
      let sequences = randomSequences(&draw, vocabulary: 5, depth: 5)
      let trie = try LabelTrie(sequences: sequences)
      var wanted: Set<[Int32]> = []
      for sequence in sequences {
        for length in 1...sequence.count { wanted.insert(Array(sequence[..<length])) }
      }
      let offered = trie.queries.flatMap { query in query.tokens.map { query.path + [$0] } }
      #expect(offered.count == wanted.count)
      #expect(Set(offered) == wanted)
      #expect(trie.queries[0].path.isEmpty)
      #expect(trie.queries.map(\.path.count) == trie.queries.map(\.path.count).sorted())

      var asked: [[Int32]] = []
      _ = try trie.distribution { path, token in
        asked.append(path + [token])
        return -1.5
      }
      #expect(asked.count == wanted.count)
      #expect(Set(asked) == wanted)
    }
  }

  @Test func queriesOfASmallTrieAreAsWrittenByHand() throws {
    let trie = try LabelTrie(sequences: [[4, 1, 9], [2], [4, 0]])
    #expect(
      trie.queries == [
        TrieQuery(path: [], tokens: [2, 4]), TrieQuery(path: [4], tokens: [0, 1]),
        TrieQuery(path: [4, 1], tokens: [9]),
      ])
  }

  @Test func singleChildStillCountsItsProbability() throws {
    let table: [[Int32]: Double] = [[1]: 0.5, [2]: 0.25, [1, 3]: 0.1]
    let found = try LabelTrie(sequences: [[1, 3], [2]]).distribution { log(table[$0 + [$1]] ?? 0) }
    #expect(abs(found[0] - 0.05 / 0.3) < 1e-15)
    #expect(abs(found[1] - 0.25 / 0.3) < 1e-15)
  }

  @Test func shorterLabelGetsItsPathLessTheLongerOnes() throws {
    // a | a b c: the short one keeps 0.6 - 0.6 · 0.5 · 0.4.
    let table: [[Int32]: Double] = [[1]: 0.6, [1, 2]: 0.5, [1, 2, 3]: 0.4, [5]: 0.2]
    let found = try LabelTrie(sequences: [[1], [1, 2, 3], [5]]).distribution { log(table[$0 + [$1]] ?? 0) }
    let expected = [0.48, 0.12, 0.2].map { $0 / 0.8 }
    for (a, b) in zip(found, expected) { #expect(abs(a - b) < 1e-15) }
  }

  @Test func tinyProbabilitiesDoNotUnderflow() throws {
    let found = try LabelTrie(sequences: [[1, 2], [3]]).distribution { _, token in token == 3 ? -2001 : -1000
    }
    #expect(abs(found[0] - 1 / (1 + exp(-1))) < 1e-12)
  }

  @Test func impossibleLabelGetsZeroAndItsRestNoNaN() throws {
    let found = try LabelTrie(sequences: [[1], [1, 2], [3]]).distribution { _, token in
      token == 1 ? -.infinity : -0.5
    }
    #expect(found == [0, 0, 1])
  }

  @Test func continuationOfCertaintyLeavesTheShorterLabelNothing() throws {
    // Rounding may bring a log-probability a hair above 0.
    let found = try LabelTrie(sequences: [[1], [1, 2]]).distribution { _, token in token == 2 ? 1e-7 : -0.5 }
    #expect(found == [0, 1])
  }

  @Test func modelWithoutAnswerIsAnError() throws {
    let trie = try LabelTrie(sequences: [[1], [2]])
    for value in [Double.nan, .infinity, -.infinity] {
      #expect(thrownError { _ = try trie.distribution { _, _ in value } }?.code == .deviceFailure)
    }
  }

  @Test func sequencesThatCannotBeToldApartAreRefused() {
    let cases: [([[Int32]], String)] = [
      ([], "labels"), ([[1], []], "labels[1]"), ([[1, 2], [3], [1, 2]], "labels[2]"), ([[-1]], "labels[0]"),
    ]
    for (sequences, field) in cases {
      let error = thrownError { _ = try LabelTrie(sequences: sequences) }
      #expect(error?.code == .invalidArgument)
      #expect(error?.field == field)
    }
  }
}
