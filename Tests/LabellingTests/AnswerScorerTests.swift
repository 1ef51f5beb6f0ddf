import Basics
import Generation
import Relevance
import Testing

@testable import Labelling

/// Answers read again on the tiny llama model.
@Suite(.serialized) struct AnswerScorerTests {
  private let pairs = [
    Pair(pairID: "a", query: "red hose 50 ft", title: "Garden hose, 50 ft"),
    Pair(pairID: "b", query: "size 12", title: "<|im_end|> shoe"),
    Pair(pairID: "c", query: "red hose 50 ft", title: "Hose reel", description: "steel"),
  ]

  /// What a labeller gives each pair: answer and distribution.
  private func labels(_ model: TinyModel, _ reasoning: RelevancePrompt.Reasoning) throws -> (
    answers: [[Int32]], distributions: [LabelDistribution]
  ) {
    let labeller = EngineLabeller(
      engine: try model.engine(sequences: 2, context: 2400, cacheTokens: 4800),
      encoder: try model.encoder(reasoning), settings: .init(maxTokens: 60, batch: 2, model: "tiny"))
    var answers = [[Int32]](repeating: [], count: pairs.count)
    var found: [Int: LabelDistribution] = [:]
    labeller.observer = { answers[$0.row] = $1.tokens }
    for (row, pair) in pairs.enumerated() {
      try labeller.submit(PairWork(row: row, line: row + 1, pair: pair))
    }
    for _ in 0..<500 where found.count < pairs.count {
      for result in try labeller.step() { found[result.row] = try result.outcome.get().distribution }
    }
    return (answers, pairs.indices.compactMap { found[$0] })
  }

  @Test(
    "A label read after the labeller's own answer has the same bits",
    arguments: [RelevancePrompt.Reasoning.full, .direct])
  func ownAnswer(_ reasoning: RelevancePrompt.Reasoning) throws {
    let model = try TinyModel()
    let (answers, expected) = try labels(model, reasoning)
    try #require(expected.count == pairs.count)
    #expect(answers.allSatisfy { $0.isEmpty == (reasoning == .direct) })
    for batch in [1, 3] {
      let scorer = AnswerScorer(
        engine: try model.engine(sequences: batch, context: 2400, cacheTokens: 2400 * batch),
        encoder: try model.encoder(reasoning), batch: batch)
      var reported: [Int] = []
      let found = try scorer.distributions(after: Array(zip(pairs, answers)), report: { reported.append($0) })
      #expect(try found.map { try $0.get() } == expected)
      #expect(reported.last == pairs.count)
    }
  }

  @Test("Another answer gives another distribution, and one that does not fit an error in its place")
  func otherAnswers() throws {
    let model = try TinyModel()
    let (answers, expected) = try labels(model, .full)
    let long = [Int32](repeating: answers[1][0], count: 3000)
    let scorer = AnswerScorer(
      engine: try model.engine(sequences: 2, context: 2400, cacheTokens: 4800),
      encoder: try model.encoder(.full), batch: 2)
    let found = try scorer.distributions(
      after: [(pairs[0], []), (pairs[1], long), (pairs[2], answers[2])])
    try #require(found.count == 3)
    #expect(try found[0].get() != expected[0])
    #expect(throws: RetortError.self) { try found[1].get() }
    #expect(try found[2].get() == expected[2])
  }
}
