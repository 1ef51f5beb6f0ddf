import Basics
import TestSupport
import Testing
import Transformers

@testable import Generation

/// What the engine refuses.
@Suite struct EngineErrorTests {
  static let limits = Engine.Limits(sequences: 2, context: 16, cacheTokens: 64, blockSize: 4)

  static func error(_ request: GenerationRequest, _ limits: Engine.Limits = limits) -> RetortError? {
    let engine = Engine.fake(limits)
    let error = thrown { _ = try engine.add(request) }
    #expect(engine.isIdle && engine.count == 0, "a refused request stays behind")
    return error
  }

  @Test("An empty prompt is refused")
  func empty() {
    let error = EngineErrorTests.error(GenerationRequest(prompt: [], maxTokens: 1))
    #expect(error?.code == .invalidArgument && error?.field == "prompt")
  }

  @Test("Tokens outside the vocabulary are refused, in the prompt, the cue, paths and choices")
  func vocabulary() {
    let choices = [
      ForcedChoice(cueTokens: [61], queries: []),
      ForcedChoice(cueTokens: [], queries: [.init(path: [-1], tokens: [])]),
      ForcedChoice(cueTokens: [], queries: [.init(path: [], tokens: [61])]),
    ]
    var requests = choices.map { GenerationRequest(prompt: [1], maxTokens: 1, forcedChoice: $0) }
    requests += [[-1], [1, 61], [.max], [.min]].map { GenerationRequest(prompt: $0, maxTokens: 1) }
    for request in requests { #expect(EngineErrorTests.error(request)?.code == .invalidArgument) }
  }

  @Test("A prompt that leaves no room for an answer is refused; the longest that does is not")
  func tooLong() throws {
    let choice = ForcedChoice(
      cueTokens: [1, 2], queries: [.init(path: [], tokens: [1]), .init(path: [3, 4], tokens: [5])])
    for (count, forced, isGenerating) in [
      (15, nil, true), (16, nil, false), (11, choice, true), (12, choice, false),
    ]
      as [(Int, ForcedChoice?, Bool)]
    {
      var request = GenerationRequest(
        prompt: [Int32](repeating: 7, count: count), maxTokens: isGenerating ? 50 : 0, forcedChoice: forced)
      let completion = try Engine.alone(request, EngineErrorTests.limits).get()
      #expect(completion.tokens.count == (isGenerating ? 1 : 0))
      #expect(completion.choiceLogProbabilities.count == (forced == nil ? 0 : 2))
      request.prompt.append(7)
      let error = EngineErrorTests.error(request)
      #expect(error?.code == .contextOverflow && error?.field == "prompt")
    }
    let small = Engine.Limits(sequences: 2, context: 400, cacheTokens: 8, blockSize: 4)
    let request = GenerationRequest(prompt: [1, 2, 3, 4, 5, 6, 7, 8], maxTokens: 1)
    #expect(EngineErrorTests.error(request, small)?.code == .contextOverflow)
  }

  @Test(
    "An option out of its range is refused by name",
    arguments: [
      ("temperature", SamplingParameters(temperature: -0.1)), ("temperature", .init(temperature: .nan)),
      ("temperature", .init(temperature: .infinity)), ("top-k", .init(topK: -1)), ("top-p", .init(topP: 0)),
      ("top-p", .init(topP: 1.01)), ("top-p", .init(topP: .nan)), ("min-p", .init(minP: -0.1)),
      ("min-p", .init(minP: 1)), ("min-p", .init(minP: .nan)),
      ("repetition-penalty", .init(repetitionPenalty: 0)),
      ("repetition-penalty", .init(repetitionPenalty: .infinity)),
      ("repetition-penalty", .init(repetitionPenalty: .nan)),
    ])
  func options(_ field: String, _ sampling: SamplingParameters) {
    let error = EngineErrorTests.error(GenerationRequest(prompt: [1], sampling: sampling, maxTokens: 1))
    #expect(error?.code == .invalidArgument)
    #expect(error?.field == field)
  }

  @Test("Limits too small to run anything still let a sequence end")
  func limitsOfZero() throws {
    let limits = Engine.Limits(sequences: 0, stepTokens: 0, context: 40, cacheTokens: 40)
    let completion = try Engine.alone(GenerationRequest(prompt: [1, 2], maxTokens: 3), limits).get()
    #expect(completion.tokens.count == 3)
  }

  @Test("A cache of no size is refused by the field, before anything is allocated")
  func cacheOfNoSize() throws {
    let backend = try BackendPlace.cpu.backend
    let model = try ModelRegistry.loadDecoder(GoldenModel.all[0].source(), backend: backend, compute: .f32)
    for (tokens, block, field) in [(64, 0, "blockSize"), (64, -1, "blockSize"), (0, 16, "cacheTokens")] {
      let error = thrown {
        _ = try ModelRunner(
          model: model, backend: backend, cacheTokens: tokens, blockSize: block, cacheType: .f32)
      }
      #expect(error?.code == .invalidArgument && error?.field == field)
    }
  }

  @Test("A request that asks for nothing ends at once")
  func nothing() throws {
    let request = GenerationRequest(prompt: [1], maxTokens: 0)
    let completion = try Engine.alone(request, EngineErrorTests.limits).get()
    #expect(completion.tokens.isEmpty && completion.text.isEmpty && completion.finishReason == .length)
  }
}
