import Basics
import Testing

@testable import Generation

extension Engine {
  /// Runs until nothing is left, or records an issue after far more steps than any test needs.
  ///
  /// Checks after each step that blocks are neither lost nor shared, and at the end that all are free.
  func drain(steps: Int = 100_000) throws -> [Int: Result<Completion, RetortError>] {
    var outcomes: [Int: Result<Completion, RetortError>] = [:]
    var streamed: [Int: String] = [:]
    for _ in 0..<steps where !isIdle {
      for event in try step() {
        switch event {
        case .text(let id, let piece):
          #expect(outcomes[id] == nil, "text after the end of sequence \(id)")
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
    #expect(isIdle, "the engine makes no progress")
    #expect(scheduler.blocks.freeCount == scheduler.blocks.total)
    return outcomes
  }

  private func checkBlocks() {
    let tables = (scheduler.waiting + scheduler.running).compactMap { scheduler[$0]?.blockTable }
    let held = tables.flatMap { $0 }
    #expect(Set(held).count == held.count, "a block has two owners")
    #expect(held.count + scheduler.blocks.freeCount == scheduler.blocks.total, "a block is lost")
    #expect(scheduler.running.count <= limits.sequences)
  }
}
