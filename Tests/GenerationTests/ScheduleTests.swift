import Basics
import TestSupport
import Testing

@testable import Generation

/// The engine on a fake model whose output shows every lost token and wrong block.
@Suite struct ScheduleTests {
  static let vocabulary = 61

  static func limits(_ random: inout TestRandom) -> Engine.Limits {
    let blockSize = Int.random(in: 1...6, using: &random)
    let cache = Int.random(in: 12...90, using: &random)
    return Engine.Limits(
      sequences: Int.random(in: 1...7, using: &random), stepTokens: Int.random(in: 1...40, using: &random),
      context: Int.random(in: 16...120, using: &random), cacheTokens: cache, blockSize: blockSize,
      prefixCache: Int.random(in: 0..<4, using: &random) > 0)
  }

  static func sampling(_ random: inout TestRandom) -> SamplingParameters {
    let seed = random.next()
    switch Int.random(in: 0..<5, using: &random) {
    case 0: return SamplingParameters()
    case 1: return SamplingParameters(temperature: 0.8, seed: seed)
    case 2: return SamplingParameters(temperature: 1.3, topK: 5, seed: seed)
    case 3: return SamplingParameters(temperature: 1, topP: 0.7, minP: 0.05, seed: seed)
    default: return SamplingParameters(temperature: 0.7, repetitionPenalty: 1.2, seed: seed)
    }
  }

  static func choice(_ random: inout TestRandom) -> ForcedChoice {
    let cue = random.ids(Int.random(in: 0...3, using: &random), below: vocabulary)
    let queries = (0..<Int.random(in: 1...3, using: &random)).map { index in
      ForcedChoice.Query(
        path: random.ids(index == 0 ? 0 : Int.random(in: 0...3, using: &random), below: vocabulary),
        tokens: random.ids(2, below: vocabulary))
    }
    return ForcedChoice(cueTokens: cue, queries: queries)
  }

  /// Prompts begin alike in places: with a part of one of two instructions.
  static func prompt(_ random: inout TestRandom) -> [Int32] {
    var common = TestRandom(UInt64.random(in: 0..<2, using: &random))
    let instruction = common.ids(Int.random(in: 0...20, using: &random), below: vocabulary)
    return instruction + random.ids(Int.random(in: 1...8, using: &random), below: vocabulary)
  }

  static func request(_ random: inout TestRandom) -> GenerationRequest {
    GenerationRequest(
      prompt: prompt(&random),
      sampling: sampling(&random), maxTokens: Int.random(in: 0...30, using: &random),
      endTokens: Bool.random(using: &random) ? [Int32.random(in: 0..<61, using: &random)] : [],
      wantsLogProbabilities: Bool.random(using: &random),
      forcedChoice: Bool.random(using: &random) ? choice(&random) : nil)
  }

  @Test("Under any schedule every sequence ends as it does alone, and no block is lost")
  func randomSchedules() throws {
    var (preemptions, failures, refusals, cached, evicted) = (0, 0, 0, 0, 0)
    for seed in 0..<150 as Range<UInt64> {
      var random = TestRandom(seed)
      let limits = ScheduleTests.limits(&random)
      let runner = FakeRunner(limits: limits)
      var run = EngineRun(Engine(runner: runner, tokenizer: nil, limits: limits))
      var requests: [Int: GenerationRequest] = [:]
      for _ in 0..<Int.random(in: 1...12, using: &random) {
        let request = ScheduleTests.request(&random)
        do {
          requests[try run.engine.add(request)] = request
        } catch let error as RetortError {
          #expect(error.code == .contextOverflow)
          refusals += 1
        }
        for _ in 0..<Int.random(in: 0...4, using: &random) { try run.step() }
      }
      try run.drain()
      #expect(Set(run.outcomes.keys) == Set(requests.keys))
      var alone = limits
      alone.prefixCache = false
      for (id, request) in requests {
        switch (try #require(run.outcomes[id]), try Engine.alone(request, alone)) {
        case (.success(let together), .success(let alone)):
          #expect(together.summary == alone.summary, "seed \(seed), sequence \(id)")
        case (.failure(let together), .failure(let alone)):
          #expect(together.code == .contextOverflow && alone.code == .contextOverflow)
          failures += 1
        case (let together, let alone):
          Issue.record("seed \(seed), sequence \(id): \(together) together, \(alone) alone")
        }
      }
      #expect(runner.mostRows <= limits.stepTokens && runner.mostSequences <= limits.sequences)
      let statistics = run.engine.statistics
      preemptions += statistics.preemptions
      cached += statistics.cachedPromptTokens
      evicted += statistics.blocks.evicted
      #expect(limits.prefixCache || statistics.cachedPromptTokens + statistics.blocks.evicted == 0)
    }
    // The schedules are of use only where they reach these cases.
    #expect(preemptions > 50)
    #expect(failures > 5)
    #expect(refusals > 5)
    #expect(cached > 1000)
    #expect(evicted > 500)
  }

  @Test("Greedy generation, log-probabilities and a forced choice equal direct evaluation")
  func directEvaluation() throws {
    for seed in 0..<40 as Range<UInt64> {
      var random = TestRandom(1000 + seed)
      var request = ScheduleTests.request(&random)
      request.sampling = SamplingParameters()
      request.wantsLogProbabilities = true
      request.forcedChoice = ScheduleTests.choice(&random)
      let limits = Engine.Limits(
        sequences: 2, stepTokens: 5, context: 200, cacheTokens: 200, blockSize: 4)
      let completion = try Engine.alone(request, limits).get()
      var text = request.prompt
      var tokens: [Int32] = []
      var isEnded = false
      while tokens.count < request.maxTokens, !isEnded {
        let next = FakeRunner.greedy(after: text, vocabularySize: 61)
        isEnded = request.endTokens.contains(next)
        guard !isEnded else { break }
        let expected = FakeRunner.logProbabilities(after: text, of: [next], vocabularySize: 61)[0]
        try #require(completion.logProbabilities.count > tokens.count)
        #expect(abs(Double(completion.logProbabilities[tokens.count]) - expected) < 1e-5)
        tokens.append(next)
        text.append(next)
      }
      #expect(completion.tokens == tokens)
      #expect(completion.finishReason == (isEnded ? .stop : .length))
      let choice = try #require(request.forcedChoice)
      try #require(completion.choiceLogProbabilities.count == choice.queries.count)
      for (query, values) in zip(choice.queries, completion.choiceLogProbabilities) {
        let expected = FakeRunner.logProbabilities(
          after: text + choice.cueTokens + query.path, of: query.tokens, vocabularySize: 61)
        #expect(values == expected.map(Float.init))
      }
    }
  }

  @Test("A sequence that outgrows the cache fails, and the others go on")
  func overflow() throws {
    let limits = Engine.Limits(sequences: 4, stepTokens: 16, context: 500, cacheTokens: 32, blockSize: 4)
    let engine = Engine.fake(limits)
    let small = try engine.add(GenerationRequest(prompt: [1, 2, 3], maxTokens: 6))
    let big = try engine.add(GenerationRequest(prompt: [4, 5], maxTokens: 100))
    let late = try engine.add(GenerationRequest(prompt: [6], maxTokens: 20))
    let outcomes = try engine.drain()
    #expect(try outcomes[small]?.get().tokens.count == 6)
    #expect(try outcomes[late]?.get().tokens.count == 20)
    let error = thrown { _ = try outcomes[big]?.get() }
    #expect(error?.code == .contextOverflow)
    #expect(error?.field == "context")
  }

  @Test("A sequence may fill the cache to its last token")
  func exactFit() throws {
    let limits = Engine.Limits(sequences: 4, stepTokens: 16, context: 32, cacheTokens: 32, blockSize: 4)
    let completion = try Engine.alone(GenerationRequest(prompt: [1, 2, 3], maxTokens: 100), limits).get()
    #expect(completion.finishReason == .length)
    #expect(completion.tokens.count == 29)
  }
}
