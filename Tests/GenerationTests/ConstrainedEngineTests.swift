import Basics
import Tensors
import TestSupport
import Testing
import Tokenizers

@testable import Generation

/// The engine under a grammar, on a fake model whose choices are noise.
@Suite struct ConstrainedEngineTests {
  static let limits = Engine.Limits(
    sequences: 4, stepTokens: 20, context: 600, cacheTokens: 900, blockSize: 4)
  static let outline = #"""
    root ::= "Asks: " text "\nbrand: " v " - " text "\nLabel:"
    v ::= "match" | "mismatch" | "unspecified"
    text ::= [^\n]{1,20}
    """#

  static func constraint(_ grammar: Grammar) throws -> TokenConstraint {
    try TokenConstraint(grammar, vocabulary: TokenVocabulary(EngineTextTests.tokenizer()))
  }

  static func run(_ request: GenerationRequest, limits: Engine.Limits = limits) throws -> Completion {
    try Engine.alone(
      request, limits, vocabularySize: EngineTextTests.vocabulary, tokenizer: EngineTextTests.tokenizer()
    ).get()
  }

  static let samplings: [SamplingParameters] =
    [SamplingParameters()]
    + (0..<12).flatMap { seed in
      [
        SamplingParameters(temperature: 1, seed: UInt64(seed)),
        SamplingParameters(temperature: 1.2, topP: 0.9, seed: UInt64(seed)),
        SamplingParameters(temperature: 0.7, topK: 5, repetitionPenalty: 1.2, seed: UInt64(seed)),
      ]
    }

  @Test("An answer matches its grammar whatever the limit, and says where it was cut")
  func conformance() throws {
    let grammars: [Grammar] = [
      try Grammar(gbnf: ConstrainedEngineTests.outline), try Grammar(regex: "[a-c]{2,9}(x|yz)+é?"),
      try Grammar(regex: "[a-f]*"),
      try Grammar(jsonSchema: #"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#),
    ]
    var reasons: Set<FinishReason> = []
    for grammar in grammars {
      let constraint = try ConstrainedEngineTests.constraint(grammar)
      let shortest = try constraint.closing(constraint.start).count
      for (index, sampling) in ConstrainedEngineTests.samplings.enumerated() {
        let maxTokens = [1, shortest, shortest + 3, 60, 200][index % 5]
        let completion = try ConstrainedEngineTests.run(
          GenerationRequest(
            prompt: [5, 6, 7, Int32(index)], sampling: sampling, maxTokens: maxTokens,
            endTokens: Set(constraint.vocabulary.endTokens), wantsLogProbabilities: true,
            constraint: constraint))
        reasons.insert(completion.finishReason)
        let end = try constraint.advance(constraint.start, bytes: Array(completion.text.utf8))
        #expect(try constraint.canEnd(try #require(end)), "\(completion.text.debugDescription)")
        #expect(completion.tokens.count <= max(maxTokens, shortest))
        #expect(completion.jumpedTokens <= completion.tokens.count)
        #expect(completion.logProbabilities.count == completion.tokens.count)
        #expect(completion.logProbabilities.allSatisfy { $0 <= 1e-4 && $0 > -40 })
        if maxTokens < shortest {
          #expect(completion.finishReason == .truncated && completion.tokens.count == shortest)
          #expect(completion.limitedTokens == Array(0..<shortest))
        }
        if completion.finishReason != .truncated { #expect(completion.limitedTokens.isEmpty) }
      }
    }
    #expect(reasons == [.stop, .truncated, .length])
  }

  @Test("Fixed text takes no sampling: its tokens come in one step")
  func jumps() throws {
    let constraint = try ConstrainedEngineTests.constraint(
      Grammar(gbnf: #"root ::= "all of this is fixed: " [ab] " and so is this""#))
    let engine = Engine.fake(
      ConstrainedEngineTests.limits, vocabularySize: EngineTextTests.vocabulary,
      tokenizer: try EngineTextTests.tokenizer())
    let id = try engine.add(GenerationRequest(prompt: [4, 5], maxTokens: 100, constraint: constraint))
    let completion = try #require(try engine.drain()[id]).get()
    #expect(["a", "b"].map { "all of this is fixed: \($0) and so is this" }.contains(completion.text))
    #expect(completion.finishReason == .stop)
    // What is sampled is the letter, with a space at one or both of its sides.
    let sampled = completion.tokens.count - completion.jumpedTokens
    #expect(sampled >= 1 && sampled <= 3)
    #expect(completion.tokens.count > 20 && engine.statistics.steps <= 2 + sampled)
  }

  @Test("An answer that is all fixed text needs no step, and its forced choice follows it")
  func allFixed() throws {
    let constraint = try ConstrainedEngineTests.constraint(Grammar(regex: "fixed"))
    let tokens = try constraint.jump(constraint.start).tokens
    let choice = ForcedChoice(cueTokens: [], queries: [.init(path: [], tokens: [1, 2])])
    for forced in [nil, choice] {
      let completion = try ConstrainedEngineTests.run(
        GenerationRequest(prompt: [9, 8], maxTokens: 50, forcedChoice: forced, constraint: constraint))
      #expect(completion.text == "fixed" && completion.tokens == tokens)
      #expect(completion.jumpedTokens == tokens.count && completion.finishReason == .stop)
      let expected = FakeRunner.logProbabilities(
        after: [9, 8] + tokens, of: [1, 2], vocabularySize: EngineTextTests.vocabulary)
      #expect(completion.choiceLogProbabilities == (forced == nil ? [] : [expected.map(Float.init)]))
    }
  }

  @Test("Each token is the likeliest allowed one, with its probability among the allowed")
  func greedyUnderTheMask() throws {
    let constraint = try ConstrainedEngineTests.constraint(Grammar(regex: "[a-z ]{12}"))
    let request = GenerationRequest(
      prompt: [3, 1, 4], maxTokens: 40, wantsLogProbabilities: true, constraint: constraint)
    let completion = try ConstrainedEngineTests.run(request)
    var (state, seen) = (constraint.start, request.prompt)
    for (token, logProbability) in zip(completion.tokens, completion.logProbabilities) {
      let mask = try constraint.mask(state)
      let expected = Reference.logProbabilities(
        FakeRunner.logits(after: seen, vocabularySize: EngineTextTests.vocabulary),
        LogProbabilityRequest(topCount: 1, chosen: [token], allowed: mask.allowed))
      #expect(expected.topIDs == [token])
      #expect((Double(logProbability) - expected.chosen[0]).magnitude < 1e-4)
      seen.append(token)
      state = try #require(try constraint.advance(state, token: token))
    }
    #expect(try constraint.isComplete(state))
  }

  @Test("A grammar of another vocabulary, and one whose shortest answer does not fit, are refused")
  func refusals() throws {
    let engine = Engine.fake(ConstrainedEngineTests.limits, vocabularySize: 61)
    let outline = try ConstrainedEngineTests.constraint(Grammar(gbnf: ConstrainedEngineTests.outline))
    let other = thrown {
      _ = try engine.add(GenerationRequest(prompt: [1], maxTokens: 9, constraint: outline))
    }
    #expect(other?.code == .invalidArgument && other?.field == "grammar")
    let long = try ConstrainedEngineTests.constraint(Grammar(regex: "[a-z]{700}"))
    let narrow = Engine.fake(ConstrainedEngineTests.limits, vocabularySize: EngineTextTests.vocabulary)
    let error = thrown { _ = try narrow.add(GenerationRequest(prompt: [1], maxTokens: 9, constraint: long)) }
    #expect(error?.code == .contextOverflow)
    #expect(engine.isIdle && narrow.isIdle)
  }
}
