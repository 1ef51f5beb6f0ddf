import Basics
import Tensors
import TestSupport
import Testing
import Tokenizers

@testable import Generation

/// The engine with a tokenizer: text, stop strings and what follows them.
@Suite struct EngineTextTests {
  static let vocabulary = 288
  static let limits = Engine.Limits(
    sequences: 4, stepTokens: 20, context: 300, cacheTokens: 400, blockSize: 4)

  static func tokenizer() throws -> Tokenizer {
    try Tokenizer(VocabularySpec(GoldenModel.all[0].source()))
  }

  @Test("Stop strings end the text and never show in it; streamed pieces join to it")
  func stops() throws {
    let tokenizer = try EngineTextTests.tokenizer()
    let engine = Engine.fake(
      EngineTextTests.limits, vocabularySize: EngineTextTests.vocabulary, tokenizer: tokenizer)
    var requests: [Int: GenerationRequest] = [:]
    let stops = ["e", "th", "q", " a", "er", "\n", "é", "z", "1", "it"]
    for seed in 0..<60 as Range<UInt64> {
      var random = TestRandom(seed)
      let request = GenerationRequest(
        prompt: random.ids(5, below: 200), sampling: SamplingParameters(temperature: 1.5, seed: seed),
        maxTokens: 60, stopStrings: (0..<3).map { _ in stops.randomElement(using: &random) ?? "e" })
      requests[try engine.add(request)] = request
    }
    var stopped = 0
    for (id, outcome) in try engine.drain() {
      let completion = try outcome.get()
      let request = try #require(requests[id])
      for stop in request.stopStrings { #expect(!completion.text.contains(stop)) }
      let whole = tokenizer.decode(completion.tokens, skipSpecial: true)
      #expect(whole.utf8.starts(with: completion.text.utf8))
      if completion.finishReason == .stop {
        stopped += 1
        #expect(request.stopStrings.contains { (whole.dropFirst(completion.text.count)).hasPrefix($0) })
      } else {
        #expect(completion.tokens.count == 60 && completion.text == whole)
      }
    }
    #expect(stopped > 20)
  }

  @Test("A forced choice after a stop string reads what follows the kept text and the cue")
  func choiceAfterStop() throws {
    let tokenizer = try EngineTextTests.tokenizer()
    var stopped = 0
    for seed in 0..<40 as Range<UInt64> {
      var random = TestRandom(seed)
      let choice = ForcedChoice(
        cueTokens: tokenizer.encode("\nLabel:", parseSpecial: false),
        queries: [.init(path: [], tokens: [1, 2]), .init(path: [2, 9], tokens: [40])])
      let request = GenerationRequest(
        prompt: random.ids(7, below: 200), sampling: SamplingParameters(temperature: 1, seed: seed),
        maxTokens: 40, stopStrings: ["e", "\n", "t"], forcedChoice: choice)
      let completion = try Engine.alone(
        request, EngineTextTests.limits, vocabularySize: EngineTextTests.vocabulary, tokenizer: tokenizer
      ).get()
      let isStopped = completion.finishReason == .stop
      stopped += isStopped ? 1 : 0
      let kept = isStopped ? tokenizer.encode(completion.text, parseSpecial: false) : completion.tokens
      for (query, values) in zip(choice.queries, completion.choiceLogProbabilities) {
        let expected = FakeRunner.logProbabilities(
          after: request.prompt + kept + choice.cueTokens + query.path, of: query.tokens,
          vocabularySize: EngineTextTests.vocabulary)
        #expect(values == expected.map(Float.init), "seed \(seed)")
      }
      #expect(completion.choiceLogProbabilities.count == 2)
    }
    #expect(stopped > 10)
  }

  @Test("A forced choice fits even where the kept text takes more tokens than were generated")
  func choiceAtTheLimit() throws {
    let tokenizer = try EngineTextTests.tokenizer()
    let limits = Engine.Limits(sequences: 1, stepTokens: 20, context: 40, cacheTokens: 40, blockSize: 4)
    let choice = ForcedChoice(
      cueTokens: [1, 2, 3], queries: [.init(path: [], tokens: [1]), .init(path: [2, 9], tokens: [40])])
    var longer = 0
    for seed in 0..<200 as Range<UInt64> {
      var random = TestRandom(seed)
      let request = GenerationRequest(
        prompt: random.ids(7, below: 200), sampling: SamplingParameters(temperature: 1, seed: seed),
        maxTokens: 40, stopStrings: ["e", "t", "a"], forcedChoice: choice)
      let outcome = try Engine.alone(
        request, limits, vocabularySize: EngineTextTests.vocabulary, tokenizer: tokenizer)
      let completion = try outcome.get()
      #expect(completion.choiceLogProbabilities.count == 2)
      if completion.finishReason == .stop {
        longer +=
          tokenizer.encode(completion.text, parseSpecial: false).count + 12 > limits.context ? 1 : 0
      }
    }
    #expect(longer > 0)
  }

  @Test("The same seed gives the same text whatever else is in the batch, another seed another text")
  func seeds() throws {
    let tokenizer = try EngineTextTests.tokenizer()
    func text(_ seed: UInt64, others: Int, top: Float) throws -> String {
      let engine = Engine.fake(
        EngineTextTests.limits, vocabularySize: EngineTextTests.vocabulary, tokenizer: tokenizer)
      var random = TestRandom(seed &+ UInt64(others))
      for _ in 0..<others {
        _ = try engine.add(
          GenerationRequest(
            prompt: random.ids(9, below: 200),
            sampling: SamplingParameters(temperature: 1, seed: random.next()), maxTokens: 20))
      }
      let sampling = SamplingParameters(temperature: 1, topP: top, seed: seed)
      let id = try engine.add(GenerationRequest(prompt: [5, 6, 7], sampling: sampling, maxTokens: 25))
      return try #require(try engine.drain()[id]).get().text
    }
    for top in [Float(1), 0.9] {
      let first = try text(11, others: 0, top: top)
      #expect(try text(11, others: 0, top: top) == first)
      #expect(try text(11, others: 3, top: top) == first)
      #expect(try text(11, others: 9, top: top) == first)
      #expect(try text(12, others: 0, top: top) != first)
    }
  }

  @Test("Generation ends before an end token")
  func endToken() throws {
    let prompt: [Int32] = [9, 8, 7]
    let open = try Engine.alone(
      GenerationRequest(prompt: prompt, maxTokens: 10), EngineTextTests.limits, vocabularySize: 288
    ).get()
    let end = open.tokens[4]
    let closed = try Engine.alone(
      GenerationRequest(prompt: prompt, maxTokens: 10, endTokens: [end]), EngineTextTests.limits,
      vocabularySize: 288
    ).get()
    #expect(closed.tokens == Array(open.tokens.prefix(while: { $0 != end })))
    #expect(closed.finishReason == .stop)
    #expect(open.finishReason == .length)
  }

  @Test("A model's logits that are not numbers show in their logsumexp", arguments: BackendPlace.all)
  func notNumbers(_ place: BackendPlace) throws {
    let backend = try place.backend
    for bad in [Float.nan, .infinity] {
      for position in [0, 3, 299] {
        var row = [Float](repeating: 0.5, count: 300)
        row[position] = bad
        let logits = try backend.upload(row, shape: [1, 300])
        for request in [
          LogProbabilityRequest(), LogProbabilityRequest(temperature: 0.7, topCount: 256),
          LogProbabilityRequest(topCount: 0, chosen: [1]),
        ] {
          #expect(try backend.logProbabilities(logits, [request])[0].logSumExp.isFinite == false)
        }
      }
    }
  }
}
