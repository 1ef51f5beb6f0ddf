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
    #expect(engine.statistics.blocks.held == 0)
  }

  private func checkBlocks() {
    engine.scheduler.check()
    #expect(engine.scheduler.running.count <= max(1, engine.limits.sequences))
  }
}

extension Scheduler {
  /// What holds between steps: every block is free, idle or held by as many sequences as it counts, and what
  /// sequences share is full, indexed and the same text.
  func check(location: SourceLocation = #_sourceLocation) {
    let all = sequences.values
    #expect(Set(waiting + running) == Set(sequences.keys), sourceLocation: location)
    #expect(waiting.count + running.count == sequences.count, sourceLocation: location)
    var holders: [Int32: Int] = [:]
    var prefixes: [Int32: ArraySlice<Int32>] = [:]
    var (isIndexedAsSaid, isOneText) = (true, true)
    for sequence in all {
      #expect(Set(sequence.blockTable).count == sequence.blockTable.count, "a table has a block twice")
      #expect(sequence.blockTable.count == blocks.blocks(for: sequence.computed), sourceLocation: location)
      #expect(sequence.published <= sequence.computed / blocks.blockSize, sourceLocation: location)
      for (place, block) in sequence.blockTable.enumerated() {
        holders[block, default: 0] += 1
        let isIndexed = blocks.index?.contains(block) ?? false
        isIndexedAsSaid = isIndexedAsSaid && isIndexed == (place < sequence.published)
        guard place < sequence.published else { continue }
        let prefix = sequence.tokens[..<((place + 1) * blocks.blockSize)]
        if let other = prefixes.updateValue(prefix, forKey: block) {
          isOneText = isOneText && other == prefix
        }
      }
    }
    #expect(isIndexedAsSaid, "what is indexed is not what a sequence published", sourceLocation: location)
    #expect(isOneText, "a block has two texts", sourceLocation: location)
    let isCounted = holders.allSatisfy { block, count in
      blocks.references(to: block) == count && (count == 1 || prefixes[block] != nil)
    }
    #expect(isCounted, "an open block has two owners, or a count is wrong", sourceLocation: location)
    #expect(Set(prefixes.values).count == prefixes.count, "a text has two blocks", sourceLocation: location)
    #expect(blocks.index?.orphanCount ?? 0 == 0, sourceLocation: location)
    #expect(holders.count == blocks.heldCount, "a block is lost", sourceLocation: location)
    #expect(holders.values.count { $0 > 1 } == blocks.sharedCount, sourceLocation: location)
    #expect((blocks.index?.count ?? 0) == prefixes.count + blocks.idleCount, sourceLocation: location)
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
    "\(promptTokens) \(tokens) \(jumpedTokens) \(logProbabilities) \(text.debugDescription) \(finishReason) \(choiceLogProbabilities)"
  }
}
