import Basics
import TestSupport
import Testing

@testable import Generation

/// What the prefix cache spares, on the fake model.
@Suite struct PrefixCacheTests {
  static func limits(cacheTokens: Int = 4000, prefixCache: Bool = true) -> Engine.Limits {
    Engine.Limits(
      sequences: 32, stepTokens: 128, context: 400, cacheTokens: cacheTokens, blockSize: 16,
      prefixCache: prefixCache)
  }

  /// Prompts of one instruction and different ends.
  static func requests(_ count: Int, instruction: Int = 170, end: Int = 21, maxTokens: Int = 12)
    -> [GenerationRequest]
  {
    var random = TestRandom(7)
    let common = random.ids(instruction, below: 61)
    return (0..<count).map { index in
      GenerationRequest(
        prompt: common + [Int32(index)] + random.ids(end - 1, below: 61),
        sampling: SamplingParameters(temperature: index % 2 == 0 ? 0 : 1, seed: UInt64(index)),
        maxTokens: maxTokens, wantsLogProbabilities: true,
        forcedChoice: ForcedChoice(
          cueTokens: [1, 2], queries: [.init(path: [], tokens: [3, 4]), .init(path: [3], tokens: [5])]))
    }
  }

  @Test("Sequences added together compute their common instruction once, and what comes out is the same")
  func together() throws {
    let requests = PrefixCacheTests.requests(32)
    let engine = Engine.fake(PrefixCacheTests.limits())
    for request in requests { _ = try engine.add(request) }
    let outcomes = try engine.drain()
    // 170 tokens are ten full blocks and ten tokens, which everyone computes.
    let statistics = engine.statistics
    #expect(statistics.computedPromptTokens == 160 + 32 * 31)
    #expect(statistics.cachedPromptTokens == 31 * 160)
    #expect(statistics.preemptions == 0 && statistics.blocks.evicted == 0)
    for (id, request) in requests.enumerated() {
      let alone = try Engine.alone(request, PrefixCacheTests.limits(prefixCache: false)).get()
      #expect(try outcomes[id]?.get().summary == alone.summary)
    }
  }

  @Test("Blocks outlive their sequence: a later one finds them, until others take their place")
  func later() throws {
    let engine = Engine.fake(PrefixCacheTests.limits(cacheTokens: 400))
    let requests = PrefixCacheTests.requests(3)
    func cached(_ request: GenerationRequest) throws -> Int {
      let before = engine.statistics.cachedPromptTokens
      _ = try engine.add(request)
      _ = try engine.drain()
      return engine.statistics.cachedPromptTokens - before
    }
    #expect(try cached(requests[0]) == 0)
    #expect(engine.statistics.blocks.idle > 10)
    #expect(try cached(requests[1]) == 160)
    // All full blocks of a prompt that is there already, but never its last token.
    #expect(try cached(requests[1]) == 176)
    var random = TestRandom(9)
    let other = GenerationRequest(prompt: random.ids(380, below: 61), maxTokens: 5)
    #expect(try cached(other) == 0)
    #expect(engine.statistics.blocks.evicted > 10)
    #expect(try cached(requests[2]) < 160)
  }

  @Test("Without the prefix cache every prompt is computed and nothing stays")
  func off() throws {
    let engine = Engine.fake(PrefixCacheTests.limits(prefixCache: false))
    for request in PrefixCacheTests.requests(5) { _ = try engine.add(request) }
    _ = try engine.drain()
    let statistics = engine.statistics
    #expect(statistics.computedPromptTokens == 5 * 191 && statistics.cachedPromptTokens == 0)
    #expect(statistics.blocks.idle == 0 && statistics.blocks.shared == 0)
  }

  @Test("Samples of one prompt share all of its full blocks, and the first is what one sample would be")
  func samples() throws {
    var request = PrefixCacheTests.requests(1)[0]
    request.sampling = SamplingParameters(temperature: 1, seed: 5)
    let engine = Engine.fake(PrefixCacheTests.limits())
    let ids = try engine.add(request, samples: 6)
    #expect(ids.count == 6 && engine.count == 6)
    _ = try engine.step()
    _ = try engine.step()
    #expect(engine.statistics.blocks.shared == 191 / 16)
    let outcomes = try engine.drain()
    #expect(engine.statistics.computedPromptTokens == 191 + 5 * (191 % 16))
    let texts = try ids.map { try #require(outcomes[$0]).get().tokens }
    #expect(Set(texts).count == 6)
    #expect(try Engine.alone(request, PrefixCacheTests.limits()).get().tokens == texts[0])
    #expect(try engine.add(request, samples: 0).isEmpty && engine.isIdle)
    request.prompt = []
    #expect(thrown { _ = try engine.add(request, samples: 3) }?.code == .invalidArgument)
    #expect(engine.isIdle)
  }

  @Test("A job whose cache is too small for its batch ends with the same results")
  func tight() throws {
    let requests = PrefixCacheTests.requests(16, end: 40, maxTokens: 60)
    let engine = Engine.fake(PrefixCacheTests.limits(cacheTokens: 480))
    for request in requests { _ = try engine.add(request) }
    let outcomes = try engine.drain()
    #expect(engine.statistics.preemptions > 0 && engine.statistics.blocks.evicted > 0)
    #expect(engine.statistics.blocks.mostHeld <= engine.statistics.blocks.total)
    for (id, request) in requests.enumerated() {
      let alone = try Engine.alone(request, PrefixCacheTests.limits()).get()
      #expect(try outcomes[id]?.get().summary == alone.summary)
    }
  }

  @Test("After a step that fails on the device, the next ones give what they would have given")
  func deviceFailure() throws {
    let limits = PrefixCacheTests.limits(cacheTokens: 1200)
    let runner = FakeRunner(limits: limits)
    let engine = Engine(runner: runner, tokenizer: nil, limits: limits)
    let requests = PrefixCacheTests.requests(6)
    for request in requests { _ = try engine.add(request) }
    var run = EngineRun(engine)
    for _ in 0..<4 {
      try run.step()
      runner.failure = RetortError(.deviceFailure, "lost", remedy: "")
      #expect(thrown { _ = try engine.step() }?.message == "lost")
    }
    try run.drain()
    for (id, request) in requests.enumerated() {
      let alone = try Engine.alone(request, limits).get()
      #expect(try run.outcomes[id]?.get().summary == alone.summary)
    }
  }
}
