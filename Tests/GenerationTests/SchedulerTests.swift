import Basics
import Testing

@testable import Generation

@Suite struct SchedulerTests {
  static func scheduler(sequences: Int, tokens: Int, blocks: Int, prompts: [Int]) -> Scheduler {
    var scheduler = Scheduler(
      limits: .init(sequences: sequences, tokens: tokens), blocks: BlockManager(blocks: blocks, blockSize: 4))
    for (id, count) in prompts.enumerated() {
      let request = GenerationRequest(prompt: [Int32](repeating: 1, count: count), maxTokens: 99)
      scheduler.add(Sequence(id: id, arrival: id, request: request))
    }
    return scheduler
  }

  /// Marks shares as run, and gives each sequence that is through a further token.
  static func run(_ shares: [Scheduler.Share], _ scheduler: inout Scheduler) {
    for share in shares {
      guard var sequence = scheduler[share.sequence] else { continue }
      sequence.computed = share.range.upperBound
      if sequence.pending == 0 { sequence.tokens.append(2) }
      scheduler[share.sequence] = sequence
    }
  }

  @Test("A token takes a block only where the last one is full")
  func blocks() {
    var manager = BlockManager(blocks: 3, blockSize: 4)
    #expect([0, 1, 4, 5, 8, 9, 12].map(manager.blocks) == [0, 1, 1, 2, 2, 3, 3])
    var (first, second): ([Int32], [Int32]) = ([], [])
    #expect(manager.grow(&first, toHold: 8))
    #expect(first.count == 2 && manager.freeCount == 1)
    let held = (first, manager.freeCount)
    #expect(!manager.grow(&first, toHold: 13))
    #expect((first, manager.freeCount) == held)
    #expect(manager.grow(&second, toHold: 4))
    #expect(Set(first + second) == [0, 1, 2])
    #expect(!manager.grow(&first, toHold: 9))
    manager.release(&second)
    #expect(second.isEmpty && manager.grow(&first, toHold: 12))
    manager.release(&first)
    #expect(manager.freeCount == 3)
  }

  @Test("Started sequences go first; a long prompt takes what is left of the budget in parts")
  func budget() throws {
    var scheduler = SchedulerTests.scheduler(sequences: 3, tokens: 10, blocks: 50, prompts: [3, 18, 2])
    var steps: [[Scheduler.Share]] = []
    for _ in 0..<4 {
      steps.append(try scheduler.schedule())
      SchedulerTests.run(steps[steps.count - 1], &scheduler)
    }
    typealias Share = Scheduler.Share
    #expect(steps[0] == [Share(sequence: 0, range: 0..<3), Share(sequence: 1, range: 0..<7)])
    #expect(steps[1] == [Share(sequence: 0, range: 3..<4), Share(sequence: 1, range: 7..<16)])
    #expect(
      steps[2] == [
        Share(sequence: 0, range: 4..<5), Share(sequence: 1, range: 16..<18),
        Share(sequence: 2, range: 0..<2),
      ])
    #expect(steps[3].map(\.range.count) == [1, 1, 1])
  }

  @Test("No more sequences run together than allowed, and they start in order")
  func sequenceLimit() throws {
    var scheduler = SchedulerTests.scheduler(sequences: 2, tokens: 100, blocks: 50, prompts: [2, 2, 2, 2])
    #expect(try scheduler.schedule().map(\.sequence) == [0, 1])
    scheduler.remove(0)
    let next = try scheduler.schedule().map(\.sequence)
    #expect(next == [1, 2])
  }

  @Test("Where blocks run out, the sequence started last gives its own back and waits in front")
  func preemption() throws {
    var scheduler = SchedulerTests.scheduler(sequences: 4, tokens: 100, blocks: 3, prompts: [4, 4, 4, 1])
    SchedulerTests.run(try scheduler.schedule(), &scheduler)
    #expect(scheduler.running == [0, 1, 2] && scheduler.blocks.freeCount == 0)
    let shares = try scheduler.schedule()
    // The first takes the third's block; the second then has to give way itself.
    #expect(shares == [Scheduler.Share(sequence: 0, range: 4..<5)])
    #expect(scheduler.running == [0] && scheduler.waiting == [1, 2, 3])
    #expect(scheduler.preemptions == 2)
    #expect(scheduler[1]?.tokens.count == 5 && scheduler[1]?.computed == 0)
    #expect(scheduler[1]?.blockTable.isEmpty == true)
  }

  @Test("A prompt may take all blocks; one token more does not fit and says so")
  func whole() throws {
    var fits = SchedulerTests.scheduler(sequences: 1, tokens: 100, blocks: 3, prompts: [12])
    SchedulerTests.run(try fits.schedule(), &fits)
    #expect(fits.blocks.freeCount == 0)
    let grown = thrown { _ = try fits.schedule() }
    #expect(grown?.code == .contextOverflow && grown?.position == "sequence 0")
    var tooLong = SchedulerTests.scheduler(sequences: 1, tokens: 100, blocks: 3, prompts: [13])
    #expect(thrown { _ = try tooLong.schedule() }?.code == .contextOverflow)
  }
}
