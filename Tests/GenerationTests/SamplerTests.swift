import Basics
import Foundation
import Tensors
import TestSupport
import Testing

@testable import Generation

@Suite struct SamplerTests {
  /// A way to sample with the distribution that it should give.
  struct Case: Sendable, CustomTestStringConvertible {
    let parameters: SamplingParameters
    var testDescription: String {
      "temperature \(parameters.temperature) k \(parameters.topK) p \(parameters.topP) min \(parameters.minP) "
        + "penalty \(parameters.repetitionPenalty)"
    }
  }

  static let cases = [
    SamplingParameters(temperature: 1, topK: 3, seed: 1),
    SamplingParameters(temperature: 0.6, topP: 0.8, seed: 2),
    SamplingParameters(temperature: 1.5, minP: 0.2, seed: 3),
    SamplingParameters(temperature: 0.9, topK: 8, topP: 0.75, minP: 0.1, seed: 4),
    SamplingParameters(temperature: 1.2, repetitionPenalty: 1.7, seed: 5),
    SamplingParameters(temperature: 1, seed: 6),
    SamplingParameters(temperature: 2, topK: 1000, topP: 0.999_999, seed: 7),
  ].map { Case(parameters: $0) }

  /// Probabilities by the definitions, over the whole vocabulary: penalty, temperature, top-k, top-p, min-p, each
  /// on what the one before leaves, renormalised.
  static func distribution(_ logits: [Float], _ p: SamplingParameters, seen: [Int32]) -> [Double] {
    var x = logits.map(Double.init)
    for id in Set(seen.map(Int.init)) {
      let penalty = Double(p.repetitionPenalty)
      x[id] = x[id] > 0 ? x[id] / penalty : x[id] * penalty
    }
    var weights = x.map { exp($0 / Double(p.temperature)) }
    func normalise() {
      let sum = weights.reduce(0, +)
      weights = weights.map { $0 / sum }
    }
    normalise()
    let order = weights.indices.sorted { weights[$0] != weights[$1] ? weights[$0] > weights[$1] : $0 < $1 }
    if p.topK > 0 { for id in order.dropFirst(p.topK) { weights[id] = 0 } }
    normalise()
    var before = 0.0
    for id in order {
      let weight = weights[id]
      if before >= Double(p.topP) { weights[id] = 0 }
      before += weight
    }
    normalise()
    let highest = weights.max() ?? 0
    weights = weights.map { $0 < highest * Double(p.minP) ? 0 : $0 }
    normalise()
    return weights
  }

  @Test("Draws have the frequencies of the distribution by definition", arguments: cases)
  func frequencies(_ item: Case) throws {
    var random = TestRandom(99)
    let logits = random.floats(24, in: -2...2)
    let prompt: [Int32] = [3, 5, 3, 20]
    let expected = SamplerTests.distribution(logits, item.parameters, seen: prompt)
    let draws = 6000
    var counts = [Double](repeating: 0, count: logits.count)
    for step in 0..<draws {
      var sequence = Sequence(
        id: 0, arrival: 0,
        request: GenerationRequest(prompt: prompt, sampling: item.parameters, maxTokens: draws))
      sequence.phase = .generating
      // Only the number of generated tokens enters the draw.
      sequence.generated = [Int32](repeating: 0, count: step)
      let choice = try TokenChooser(vocabularySize: logits.count).choose(
        [sequence], FakeLogits(rows: [logits]))
      counts[Int(choice[0].token)] += 1
    }
    for (id, probability) in expected.enumerated() {
      if probability == 0 {
        #expect(counts[id] == 0, "token \(id) was cut")
      } else {
        // Five standard deviations of a binomial count.
        let bound = 5 * (Double(draws) * probability * (1 - probability)).squareRoot() + 1
        #expect(abs(counts[id] - Double(draws) * probability) < bound, "token \(id)")
      }
    }
  }

  @Test("More candidates are asked for until the cut is certain, and the draw is that of the whole row")
  func escalation() throws {
    var random = TestRandom(5)
    let logits = random.floats(3000, in: 0...0.01)
    for p in [
      SamplingParameters(temperature: 1, topP: 0.95, seed: 1),
      SamplingParameters(temperature: 1, minP: 0.5, seed: 2),
      SamplingParameters(temperature: 0.5, repetitionPenalty: 1.1, seed: 3),
    ] {
      let whole = try FakeLogits(rows: [logits]).read([
        LogProbabilityRequest(temperature: p.temperature, topCount: 3000)
      ])[0]
      var part = whole
      part.topIDs = Array(whole.topIDs.prefix(256))
      part.topLogits = Array(whole.topLogits.prefix(256))
      #expect(Sampler.sample(part, p, step: 7, vocabularySize: 3000) == .needsCandidates(2048))
      var sequence = Sequence(
        id: 0, arrival: 0, request: GenerationRequest(prompt: [0], sampling: p, maxTokens: 9))
      sequence.phase = .generating
      let logitsOnce = FakeLogits(rows: [logits])
      let token = try TokenChooser(vocabularySize: 3000).choose([sequence], logitsOnce)[0].token
      if p.repetitionPenalty == 1 {
        #expect(Sampler.sample(whole, p, step: 0, vocabularySize: 3000) == .token(token))
      }
    }
  }

  @Test("Greedy choice gives equal logits to the lowest id")
  func ties() throws {
    var sequence = Sequence(id: 0, arrival: 0, request: GenerationRequest(prompt: [0], maxTokens: 9))
    sequence.phase = .generating
    let rows: [[Float]] = [[0, 2, 1, 2, 2], [1, 1, 1, 1, 1], [-3, -1, -1, -2, -9]]
    let choices = try TokenChooser(vocabularySize: 5).choose(
      [sequence, sequence, sequence], FakeLogits(rows: rows))
    #expect(choices.map(\.token) == [1, 0, 1])
  }

  @Test("A penalty makes a greedy choice leave what was said")
  func greedyPenalty() throws {
    let request = GenerationRequest(
      prompt: [1, 2], sampling: SamplingParameters(repetitionPenalty: 3), maxTokens: 9)
    var sequence = Sequence(id: 0, arrival: 0, request: request)
    sequence.phase = .generating
    let choice = try TokenChooser(vocabularySize: 4).choose([sequence], FakeLogits(rows: [[1, 2.5, 1.5, 0]]))
    #expect(choice[0].token == 0)
  }

  @Test("A row whose logits are not numbers fails alone", arguments: [Float.nan, .infinity])
  func notNumbers(_ value: Float) throws {
    for sampling in [
      SamplingParameters(), SamplingParameters(temperature: 1), SamplingParameters(temperature: 1, topP: 0.5),
    ] {
      var sequence = Sequence(
        id: 0, arrival: 0, request: GenerationRequest(prompt: [0], sampling: sampling, maxTokens: 9))
      sequence.phase = .generating
      let choices = try TokenChooser(vocabularySize: 4).choose(
        [sequence, sequence], FakeLogits(rows: [[0, value, 1, 2], [0, 9, 1, 2]]))
      #expect(choices[0].error?.code == .deviceFailure)
      #expect(choices[1].error == nil)
    }
    let limits = Engine.Limits(sequences: 2, context: 40, cacheTokens: 40)
    let runner = FakeRunner(limits: limits)
    let engine = Engine(runner: runner, tokenizer: nil, limits: limits)
    let id = try engine.add(GenerationRequest(prompt: [1], maxTokens: 5))
    runner.poison = value
    let outcomes = try engine.drain()
    #expect(thrown { _ = try outcomes[id]?.get() }?.code == .deviceFailure)
  }
}
