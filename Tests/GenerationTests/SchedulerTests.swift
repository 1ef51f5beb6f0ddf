import Basics
import Testing

@testable import Generation

@Suite struct SchedulerTests {
  /// Prompts of the given lengths, none like another.
  static func scheduler(sequences: Int, tokens: Int, blocks: Int, prompts: [Int]) -> Scheduler {
    var scheduler = Scheduler(
      limits: .init(sequences: sequences, tokens: tokens), blocks: BlockManager(blocks: blocks, blockSize: 4))
    for (id, count) in prompts.enumerated() {
      let request = GenerationRequest(prompt: [Int32](repeating: Int32(id), count: count), maxTokens: 99)
      scheduler.add(Sequence(id: id, arrival: id, request: request))
    }
    return scheduler
  }

  /// Marks shares as run, and gives each sequence that is through a further token.
  @discardableResult
  static func run(_ scheduler: inout Scheduler) -> Scheduler.Plan {
    let plan = scheduler.schedule()
    scheduler.commit(plan.shares)
    for share in plan.shares where scheduler[share.sequence]?.pending == 0 {
      scheduler[share.sequence]?.tokens.append(2)
    }
    return plan
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
      steps.append(SchedulerTests.run(&scheduler).shares)
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
  func sequenceLimit() {
    var scheduler = SchedulerTests.scheduler(sequences: 2, tokens: 100, blocks: 50, prompts: [2, 2, 2, 2])
    #expect(SchedulerTests.run(&scheduler).shares.map(\.sequence) == [0, 1])
    scheduler.remove(0)
    #expect(SchedulerTests.run(&scheduler).shares.map(\.sequence) == [1, 2])
  }

  @Test("A sequence starts where its text fits beside a block to spare for each that runs")
  func admission() {
    var scheduler = SchedulerTests.scheduler(sequences: 9, tokens: 100, blocks: 7, prompts: [7, 9, 3, 1])
    #expect(SchedulerTests.run(&scheduler).shares.map(\.sequence) == [0, 1])
    #expect(scheduler.blocks.freeCount == 2 && scheduler.waiting == [2, 3])
    // The third, short as it is, would leave the first two without room to grow.
    #expect(SchedulerTests.run(&scheduler).shares.map(\.sequence) == [0, 1])
    scheduler.remove(0)
    #expect(SchedulerTests.run(&scheduler).shares.map(\.sequence) == [1, 2, 3])
  }

  @Test("What a started sequence still needs is not given to others")
  func promise() {
    var scheduler = SchedulerTests.scheduler(sequences: 9, tokens: 6, blocks: 9, prompts: [20, 16])
    for _ in 0..<3 { #expect(SchedulerTests.run(&scheduler).shares.map(\.sequence) == [0]) }
    #expect(SchedulerTests.run(&scheduler).shares.map(\.range) == [18..<20])
    #expect(scheduler.blocks.freeCount == 4 && scheduler.running == [0])
  }

  @Test("Where blocks run out, the sequence started last gives its own back and waits in front")
  func preemption() throws {
    var scheduler = SchedulerTests.scheduler(sequences: 4, tokens: 100, blocks: 6, prompts: [7, 7, 6, 1])
    for _ in 0..<6 { #expect(SchedulerTests.run(&scheduler).shares.map(\.sequence) == [0, 1]) }
    #expect(scheduler.blocks.freeCount == 0 && scheduler.tally.preemptions == 0)
    let plan = SchedulerTests.run(&scheduler)
    #expect(plan.shares == [Scheduler.Share(sequence: 0, range: 12..<13)])
    #expect(scheduler.running == [0] && scheduler.waiting == [1, 2, 3])
    #expect(scheduler.tally.preemptions == 1)
    let preempted = try #require(scheduler[1])
    #expect(preempted.tokens.count == 13 && preempted.computed == 0 && preempted.blockTable.isEmpty)
    scheduler.remove(0)
    // Its text is still there, but for the block that the first one took: the last.
    #expect(SchedulerTests.run(&scheduler).shares.first == Scheduler.Share(sequence: 1, range: 8..<13))
    #expect(scheduler.tally.recomputedTokens == 4)
  }

  @Test("A device failure sends all back to start again in their order, and nothing cached is believed")
  func abandon() {
    var scheduler = SchedulerTests.scheduler(sequences: 3, tokens: 100, blocks: 30, prompts: [9, 9, 9, 2])
    SchedulerTests.run(&scheduler)
    _ = scheduler.schedule()
    scheduler.abandon()
    #expect(scheduler.waiting == [0, 1, 2, 3] && scheduler.running.isEmpty)
    scheduler.check()
    #expect(scheduler.blocks.heldCount == 0 && scheduler.blocks.idleCount == 0)
    #expect(SchedulerTests.run(&scheduler).shares.map(\.range) == [0..<10, 0..<10, 0..<10])
  }

  @Test("A prompt may take all blocks; one token more does not fit and says so")
  func whole() {
    var fits = SchedulerTests.scheduler(sequences: 1, tokens: 100, blocks: 3, prompts: [12])
    #expect(SchedulerTests.run(&fits).failures.isEmpty)
    #expect(fits.blocks.freeCount == 0)
    let grown = fits.schedule()
    #expect(grown.shares.isEmpty && grown.failures.map(\.sequence) == [0])
    #expect(grown.failures.first?.error.code == .contextOverflow)
    #expect(grown.failures.first?.error.position == "sequence 0")
    #expect(fits.isEmpty && fits.blocks.heldCount == 0)
    var tooLong = SchedulerTests.scheduler(sequences: 1, tokens: 100, blocks: 3, prompts: [13, 2])
    let plan = tooLong.schedule()
    #expect(plan.failures.map(\.sequence) == [0] && plan.shares.map(\.sequence) == [1])
  }
}
