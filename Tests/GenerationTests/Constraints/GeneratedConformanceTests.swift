import Basics
import Foundation
import Tensors
import TestSupport
import Testing

@testable import Generation

/// 5,000 answers that engines generate under grammars from noise, judged by code that shares nothing with the automaton.
@Suite struct GeneratedConformanceTests {
  /// A model that finds every token equally likely: at any temperature, all that a mask allows comes up.
  final class NoiseRunner: StepRunner {
    let vocabularySize: Int

    init(vocabularySize: Int) { self.vocabularySize = vocabularySize }

    func run(_ batch: BatchMetadata, outputRows: [Int32]) throws -> any StepLogits {
      Noise(rows: outputRows.count, vocabularySize: vocabularySize)
    }

    struct Noise: StepLogits {
      let rows: Int
      let vocabularySize: Int

      func read(_ requests: [LogProbabilityRequest]) throws -> [LogProbabilityRow] {
        requests.map { request in
          let logSumExp = Float(log(Double(request.allowed?.count ?? vocabularySize)))
          return LogProbabilityRow(
            topIDs: [], topLogits: [], logSumExp: logSumExp, logSumExpAtTemperature: logSumExp,
            chosenLogProbabilities: request.chosen.map { _ in -logSumExp })
        }
      }

      /// The temperature is a logit's divisor, and all logits are 0.
      func gumbelArgmax(
        temperatures: [Float], keys: [UInt64], positions: [UInt64], allowed: [AllowedTokens?]
      ) throws -> [Int32] {
        (0..<rows).map { row in
          let word = Philox(key: keys[row]).words(positions[row], 0)[0]
          guard let mask = allowed[row] else { return Int32(Int(word) % vocabularySize) }
          var left = Int(word) % mask.count
          for (index, bits) in mask.words.enumerated() {
            guard left >= bits.nonzeroBitCount else {
              var bits = bits
              for _ in 0..<left { bits &= bits - 1 }
              return Int32(index * 32 + bits.trailingZeroBitCount)
            }
            left -= bits.nonzeroBitCount
          }
          return 0
        }
      }
    }
  }

  /// Answers of an engine with 32 sequences at temperature 1.5; each within its limit or the shortest answer.
  static func answers(_ grammar: Grammar, count: Int, maxTokens: Int) throws -> [String] {
    let tokenizer = try EngineTextTests.tokenizer()
    let constraint = try ConstrainedEngineTests.constraint(grammar)
    let engine = Engine(
      runner: NoiseRunner(vocabularySize: EngineTextTests.vocabulary), tokenizer: tokenizer,
      limits: .init(sequences: 32, context: 1024, cacheTokens: 32 * 1024))
    let shortest = try constraint.closing(constraint.start).count
    let request = GenerationRequest(
      prompt: [1, 2, 3], sampling: SamplingParameters(temperature: 1.5, seed: 7), maxTokens: maxTokens,
      endTokens: Set(constraint.vocabulary.endTokens), constraint: constraint)
    var texts: [String] = []
    _ = try engine.add(request, samples: count)
    while !engine.isIdle {
      for event in try engine.step() {
        switch event {
        case .text: break
        case .failed(_, let error): throw error
        case .finished(_, let completion):
          #expect(completion.tokens.count <= max(maxTokens, shortest))
          texts.append(completion.text)
        }
      }
    }
    #expect(texts.count == count)
    return texts
  }

  @Test("1,000 answers in the outline's form, whole or cut, have every line and verdict")
  func outline() throws {
    let grammar = try Grammar(gbnf: SampleGrammars.outline)
    let matcher = NaiveMatcher(grammar: grammar)
    let texts =
      try GeneratedConformanceTests.answers(grammar, count: 500, maxTokens: 300)
      + GeneratedConformanceTests.answers(grammar, count: 500, maxTokens: 90)
    for text in texts { #expect(matcher.matches(Array(text.utf8)), "\(text.debugDescription)") }
    #expect(Set(texts).count > 990)
  }

  @Test("2,500 answers under JSON Schemas are JSON and in the schemas' grammars")
  func schemas() throws {
    let cases = try JSONSchemaTests.cases()
    var judged = 0
    for (index, item) in cases.enumerated() {
      let grammar = try Grammar(jsonSchema: item.schema)
      let matcher = NaiveMatcher(grammar: grammar)
      let count = 2500 * (index + 1) / cases.count - 2500 * index / cases.count
      for text in try GeneratedConformanceTests.answers(grammar, count: count, maxTokens: 30) {
        judged += 1
        #expect(matcher.matches(Array(text.utf8)), "\(item.schema) \(text.debugDescription)")
        #expect(throws: Never.self, "\(item.schema) \(text.debugDescription)") {
          try JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)
        }
      }
    }
    #expect(judged == 2500)
  }

  @Test("1,500 answers under regular expressions match them as Foundation matches")
  func regexes() throws {
    let expressions = RegexTests.expressions.filter { !$0.isEmpty }
    var judged = 0
    for (index, expression) in expressions.enumerated() {
      let ascii = expression.replacing("\\w", with: "[A-Za-z0-9_]").replacing("\\W", with: "[^A-Za-z0-9_]")
        .replacing("\\d", with: "[0-9]").replacing("\\D", with: "[^0-9]")
        // Foundation's dot leaves out more line ends than ECMA's.
        .replacing(".{2,4}", with: #"[^\n\r\u2028\u2029]{2,4}"#)
      let oracle = try NSRegularExpression(pattern: "^(?:\(ascii))\\z")
      let count = 1500 * (index + 1) / expressions.count - 1500 * index / expressions.count
      let texts = try GeneratedConformanceTests.answers(
        Grammar(regex: expression), count: count, maxTokens: 24)
      for text in texts {
        judged += 1
        let whole = NSRange(text.startIndex..., in: text)
        #expect(oracle.firstMatch(in: text, range: whole) != nil, "\(expression) \(text.debugDescription)")
      }
    }
    #expect(judged == 1500)
  }
}
