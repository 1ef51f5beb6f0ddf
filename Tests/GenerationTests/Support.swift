import Basics
import Foundation
import ModelFormats
import Testing
import Tokenizers
import Transformers

@testable import Generation

/// Drives an engine and checks after each step what must always hold.
struct EngineRun {
  let engine: Engine
  private(set) var outcomes: [Int: Result<Completion, RetortError>] = [:]
  private var streamed: [Int: String] = [:]

  init(_ engine: Engine) { self.engine = engine }

  mutating func step() throws {
    for event in try engine.step() {
      switch event {
      case .text(let id, let piece):
        #expect(outcomes[id] == nil, "text after the end of sequence \(id)")
        #expect(!piece.isEmpty)
        streamed[id, default: ""] += piece
      case .finished(let id, let completion):
        #expect(outcomes.updateValue(.success(completion), forKey: id) == nil)
        #expect(streamed[id] ?? "" == completion.text, "streamed pieces of sequence \(id)")
      case .failed(let id, let error):
        #expect(outcomes.updateValue(.failure(error), forKey: id) == nil)
      }
    }
    checkBlocks()
  }

  /// Runs until nothing is left, or records an issue after far more steps than any test needs.
  mutating func drain(steps: Int = 20_000) throws {
    for _ in 0..<steps where !engine.isIdle { try step() }
    try #require(engine.isIdle, "the engine makes no progress")
    #expect(engine.scheduler.blocks.freeCount == engine.scheduler.blocks.total)
  }

  private func checkBlocks() {
    let scheduler = engine.scheduler
    let held = (scheduler.waiting + scheduler.running).flatMap { scheduler[$0]?.blockTable ?? [] }
    #expect(Set(held).count == held.count, "a block has two owners")
    #expect(held.count + scheduler.blocks.freeCount == scheduler.blocks.total, "a block is lost")
    #expect(scheduler.running.count <= max(1, engine.limits.sequences))
  }
}

extension Engine {
  /// Runs all there is to its end.
  func drain() throws -> [Int: Result<Completion, RetortError>] {
    var run = EngineRun(self)
    try run.drain()
    return run.outcomes
  }

  /// A fake model's engine.
  static func fake(_ limits: Limits, vocabularySize: Int = 61, tokenizer: Tokenizer? = nil) -> Engine {
    Engine(
      runner: FakeRunner(vocabularySize: vocabularySize, limits: limits), tokenizer: tokenizer, limits: limits
    )
  }

  /// What a request alone becomes.
  static func alone(
    _ request: GenerationRequest, _ limits: Limits, vocabularySize: Int = 61, tokenizer: Tokenizer? = nil
  ) throws -> Result<Completion, RetortError> {
    let engine = fake(limits, vocabularySize: vocabularySize, tokenizer: tokenizer)
    let id = try engine.add(request)
    return try #require(try engine.drain()[id])
  }
}

/// The error that `body` throws; records an issue where it throws none.
func thrown(location: SourceLocation = #_sourceLocation, _ body: () throws -> Void) -> RetortError? {
  #expect(throws: RetortError.self, sourceLocation: location) { try body() }
}

extension Completion {
  /// All of it as text, for comparison.
  var summary: String {
    "\(promptTokens) \(tokens) \(logProbabilities) \(text.debugDescription) \(finishReason) \(choiceLogProbabilities)"
  }
}
