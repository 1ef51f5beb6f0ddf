import Basics
import Tensors
import TestSupport
import Testing
import Tokenizers

@testable import Generation

/// The tiny models against results computed in Float32 by transformers (Tests/Fixtures/tiny-*/README.md).
@Suite(.serialized) struct GoldenModelTests {
  /// Shares of the largest of a position's 16 logits, at the worst position and on average: rounding alone in
  /// f32 (found: 6e-6); the 8 bits of bf16, or of lean activations, through up to two layers (found: 6e-2, 1.6e-2
  /// on average); 8 bits of weights besides in int8 (found: 1.4e-1, 3.5e-2 on average).
  static func tolerance(_ compute: ComputeMode) -> (worst: Float, mean: Float) {
    switch compute {
    case .f32: (3e-5, 5e-6)
    case .int8: (2e-1, 5e-2)
    case .auto, .bf16, .lean: (1e-1, 2e-2)
    }
  }

  @Test("Logits agree with the reference", arguments: GoldenModel.all, BackendPlace.withModes)
  func logits(_ model: GoldenModel, _ placeAndMode: (BackendPlace, ComputeMode)) throws {
    let (place, compute) = placeAndMode
    let (runner, _) = try model.load(place, compute)
    let tolerance = GoldenModelTests.tolerance(compute)
    let table = (0..<Int32(runner.cacheSpec.blocks)).reversed().map { $0 }
    var errorsFound: [Float] = []
    for prompt in try model.expected().prompts {
      let rows = try runner.firstLogits(prompt.ids, stepTokens: 64, blockTable: table)
      try #require(rows.count == prompt.ids.count)
      for golden in prompt.positions {
        let row = rows[golden.position]
        let scale = golden.first16.map(abs).max() ?? 1
        let errors =
          zip(row.logits, golden.first16).map { abs($0 - $1) } + [abs(row.logSumExp - golden.logsumexp)]
        // A value that is not a number must not pass for the smallest.
        let error = errors.contains(where: \.isNaN) ? .infinity : (errors.max() ?? 0) / scale
        errorsFound.append(error)
      }
    }
    let worst = errorsFound.max() ?? .infinity
    let mean = errorsFound.reduce(0, +) / Float(errorsFound.count)
    #expect(worst <= tolerance.worst, "of the position's largest logit")
    #expect(mean <= tolerance.mean, "of the positions' largest logits")
  }

  @Test("Text encodes to the reference's ids", arguments: GoldenModel.all)
  func encoding(_ model: GoldenModel) throws {
    let tokenizer = try Tokenizer(VocabularySpec(model.source()))
    for prompt in try model.expected().prompts {
      #expect(tokenizer.encode(prompt.text, parseSpecial: true) == prompt.ids, "\(prompt.text)")
    }
  }

  @Test(
    "Greedy generation through the engine gives the reference's tokens, all prompts together and in small steps",
    arguments: GoldenModel.all, BackendPlace.all)
  func greedy(_ model: GoldenModel, _ place: BackendPlace) throws {
    let prompts = try model.expected().prompts
    for (stepTokens, cacheTokens) in [(512, 1024), (24, 1024), (7, 176)] {
      let (runner, tokenizer) = try model.load(place, .f32, cacheTokens: cacheTokens)
      let engine = Engine(
        runner: runner, tokenizer: tokenizer,
        limits: .init(sequences: 8, stepTokens: stepTokens, context: 176, cacheTokens: cacheTokens))
      var ids: [Int: Int] = [:]
      for (index, prompt) in prompts.enumerated() {
        let request = GenerationRequest(
          prompt: prompt.ids, maxTokens: prompt.greedy.count, endTokens: tokenizer.endOfGenerationIDs,
          wantsLogProbabilities: true)
        ids[try engine.add(request)] = index
      }
      let outcomes = try engine.drain()
      #expect(outcomes.count == prompts.count)
      for (id, outcome) in outcomes {
        let prompt = prompts[try #require(ids[id])]
        let completion = try outcome.get()
        #expect(completion.tokens == prompt.greedy, "\(prompt.text)")
        #expect(completion.promptTokens == prompt.ids.count)
        #expect(completion.text == tokenizer.decode(prompt.greedy, skipSpecial: true))
        for (actual, expected) in zip(completion.logProbabilities, prompt.greedyLogProbabilities) {
          #expect(abs(actual - expected) < 2e-3)
        }
        #expect(completion.logProbabilities.count == prompt.greedyLogProbabilities.count)
      }
    }
  }
}
