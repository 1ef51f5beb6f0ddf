import Basics
import Tensors
import TestSupport
import Testing
import Tokenizers
import Transformers

@testable import Generation

/// The tiny models: a sequence's tokens, log-probabilities and label distribution have the same bits in any company.
@Suite(.serialized) struct BatchInvarianceTests {
  /// How sequences meet in the engine.
  struct Company {
    var sequences: Int
    var stepTokens = 512
    var cacheTokens = 8192
    var prefixCache = true
    /// Order of arrival, and steps between arrivals.
    var seed: UInt64 = 0
  }

  static let companies: [(String, Company)] = [
    ("one at a time, whole prefill, shared prefixes", Company(sequences: 1)),
    ("7 together", Company(sequences: 7, prefixCache: false, seed: 1)),
    ("7 together, shared prefixes, prefill in small chunks", Company(sequences: 7, stepTokens: 29, seed: 2)),
    ("32 together", Company(sequences: 32, prefixCache: false, seed: 3)),
    ("32 together, shared prefixes", Company(sequences: 32, seed: 4)),
    ("32 together, prefill in small chunks", Company(sequences: 32, stepTokens: 45, prefixCache: false)),
    ("32 together, too few blocks", Company(sequences: 32, cacheTokens: 256, prefixCache: false, seed: 5)),
    (
      "32 together, shared prefixes, too few blocks, small chunks",
      Company(sequences: 32, stepTokens: 70, cacheTokens: 208, seed: 6)
    ),
  ]

  /// Every mode of the CPU backend on one model, the modes that read stored blocks on K-quants, biases in between;
  /// and every OpenCL device.
  static let cases: [(GoldenModel, BackendPlace, ComputeMode, CacheType)] = {
    let (llama, qwen, kQuants) = (GoldenModel.all[0], GoldenModel.all[2], GoldenModel.all[4])
    let onCPU: [(GoldenModel, ComputeMode, CacheType)] = [
      (llama, .f32, .f32), (llama, .bf16, .f16), (llama, .lean, .f16), (llama, .int8, .f16),
      (llama, .int8, .int8), (qwen, .f32, .f32), (qwen, .bf16, .bf16), (qwen, .f32, .int8),
      (kQuants, .lean, .f16), (kQuants, .int8, .f16),
    ]
    return onCPU.map { ($0, .cpu, $1, $2) } + BackendPlace.openCL.map { (llama, $0, .lean, .f16) }
  }()

  static let grammar = #"""
    root ::= "a: " ("match" | "mismatch") " - " text "\nb: " ("yes" | "no") " - " text "\nend"
    text ::= [^\n]{1,30}
    """#

  /// Two instructions with different ends: lengths on both sides of the chunks and tiles that kernels work in.
  ///
  /// A quarter of them follow a grammar with fixed text, some of which is cut at the limit.
  static func requests(vocabulary: Int, constraint: TokenConstraint) -> [GenerationRequest] {
    var random = TestRandom(31)
    let instructions = [random.ids(64, below: vocabulary), random.ids(37, below: vocabulary)]
    let choice = ForcedChoice(
      cueTokens: [5, 9],
      queries: [.init(path: [], tokens: [3, 4, 8]), .init(path: [4, 7], tokens: [5, 6])])
    return (0..<32).map { index in
      let sampling =
        [
          SamplingParameters(), SamplingParameters(temperature: 1, seed: UInt64(index)),
          SamplingParameters(temperature: 0.9, topK: 40, topP: 0.9, seed: UInt64(index)),
        ][index % 3]
      return GenerationRequest(
        prompt: instructions[index % 2] + random.ids(1 + index % 11, below: vocabulary), sampling: sampling,
        maxTokens: index % 4 == 1 ? (index % 8 == 1 ? 100 : 40) : index % 3 == 1 ? 45 : 3 + index % 23,
        wantsLogProbabilities: true,
        forcedChoice: index % 4 == 0 || index % 8 == 1 ? choice : nil,
        constraint: index % 4 == 1 ? constraint : nil)
    }
  }

  @Test(
    "Tokens, log-probabilities and choices have the same bits for every batch, order, chunk and cache",
    arguments: cases)
  func invariance(_ model: GoldenModel, _ place: BackendPlace, _ compute: ComputeMode, _ cache: CacheType)
    throws
  {
    let backend = try place.backend
    let decoder = try ModelRegistry.loadDecoder(model.source(), backend: backend, compute: compute)
    let constraint = try TokenConstraint(
      Grammar(gbnf: BatchInvarianceTests.grammar),
      vocabulary: TokenVocabulary(
        Tokenizer(VocabularySpec(model.source())), size: decoder.configuration.vocabularySize))
    let requests = BatchInvarianceTests.requests(
      vocabulary: decoder.configuration.vocabularySize, constraint: constraint)
    func run(_ company: Company) throws -> ([String], Engine.Statistics) {
      let runner = try ModelRunner(
        model: decoder, backend: backend, cacheTokens: company.cacheTokens,
        cacheType: cache)
      let engine = Engine(
        runner: runner, tokenizer: nil,
        limits: .init(
          sequences: company.sequences, stepTokens: company.stepTokens, context: 160,
          cacheTokens: company.cacheTokens, prefixCache: company.prefixCache))
      return (try BatchInvarianceTests.results(requests, engine, seed: company.seed), engine.statistics)
    }
    let (expected, _) = try run(Company(sequences: 1, prefixCache: false))
    #expect(Set(expected).count == requests.count)
    var (preemptions, cached) = (0, 0)
    for (name, company) in BatchInvarianceTests.companies {
      let (results, statistics) = try run(company)
      for (index, result) in results.enumerated() {
        #expect(result == expected[index], "\(name), request \(index)")
      }
      preemptions += statistics.preemptions
      cached += statistics.cachedPromptTokens
      #expect(company.prefixCache == (statistics.cachedPromptTokens > 0), "\(name)")
    }
    #expect(preemptions > 3)
    #expect(expected.contains { $0.contains(" truncated ") } && expected.contains { $0.contains(" stop ") })
    #expect(cached > 1000)
  }

  /// Adds the requests in an order of the seed, some at once and some between steps; results in their own order.
  static func results(_ requests: [GenerationRequest], _ engine: Engine, seed: UInt64) throws -> [String] {
    var random = TestRandom(seed)
    let order = seed == 0 ? Array(requests.indices) : requests.indices.shuffled(using: &random)
    var (ids, run): ([Int: Int], EngineRun) = ([:], EngineRun(engine))
    for index in order {
      ids[try engine.add(requests[index])] = index
      if seed % 2 == 1, Int.random(in: 0..<3, using: &random) == 0 { try run.step() }
    }
    try run.drain()
    var results = [String](repeating: "", count: requests.count)
    for (id, outcome) in run.outcomes { results[try #require(ids[id])] = try outcome.get().summary }
    return results
  }
}
