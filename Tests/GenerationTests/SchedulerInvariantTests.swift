import Basics
import TestSupport
import Testing

@testable import Generation

/// Random arrivals, endings, rewritings and failures against what must hold in every step.
@Suite struct SchedulerInvariantTests {
  @Test("Through thousands of random steps every sequence sees its own text, and none is lost or starved")
  func randomSteps() {
    var total = SchedulerRun.Counts()
    for seed in 0..<120 as Range<UInt64> {
      var run = SchedulerRun(seed: seed)
      for _ in 0..<60 { run.round() }
      run.drain()
      total.add(run.counts, run.scheduler)
    }
    // The steps are of use only where they reach these cases.
    #expect(total.steps > 5000)
    #expect(total.preemptions > 200 && total.failures > 20 && total.abandoned > 20)
    #expect(total.cached > 2000 && total.recomputed > 1000 && total.evicted > 1000)
    #expect(total.sharedInStep > 100, "blocks computed by one sequence and read by another in one step")
    #expect(total.severalPending > 500, "steps with several tokens of an answer")
  }

  @Test("Prompt tokens are computed or cached, each once")
  func promptTokens() {
    for seed in 500..<530 as Range<UInt64> {
      var run = SchedulerRun(seed: seed)
      run.isSteady = true
      for _ in 0..<40 { run.round() }
      run.drain()
      let tally = run.scheduler.tally
      #expect(tally.computedPromptTokens + tally.cachedPromptTokens == run.counts.promptTokens)
    }
  }
}

/// A scheduler with a cache in which each slot holds a hash of the text up to its token.
struct SchedulerRun {
  struct Counts {
    var steps = 0, failures = 0, abandoned = 0, sharedInStep = 0, severalPending = 0, promptTokens = 0
    var preemptions = 0, cached = 0, recomputed = 0, evicted = 0

    mutating func add(_ other: Counts, _ scheduler: Scheduler) {
      steps += other.steps
      failures += other.failures
      abandoned += other.abandoned
      sharedInStep += other.sharedInStep
      severalPending += other.severalPending
      preemptions += scheduler.tally.preemptions
      cached += scheduler.tally.cachedPromptTokens
      recomputed += scheduler.tally.recomputedTokens
      evicted += scheduler.blocks.evictions
    }
  }

  private(set) var scheduler: Scheduler
  private(set) var counts = Counts()
  /// No failures of the device, and no sequence ends before its prompt is through.
  var isSteady = false
  private var slots: [UInt64]
  private var random: TestRandom
  private var nextID = 0
  /// Length at which a sequence ends.
  private var ends: [Int: Int] = [:]
  private let alphabet: Int

  init(seed: UInt64) {
    random = TestRandom(seed)
    let blocks = Int.random(in: 4...40, using: &random)
    let blockSize = Int.random(in: 1...5, using: &random)
    alphabet = Int.random(in: 1...3, using: &random)
    scheduler = Scheduler(
      limits: .init(
        sequences: Int.random(in: 1...9, using: &random), tokens: Int.random(in: 1...40, using: &random)),
      blocks: BlockManager(
        blocks: blocks, blockSize: blockSize, sharesPrefixes: seed % 5 > 0,
        hashMask: [0, 3, .max][Int(seed % 3)]))
    slots = Array(repeating: 0, count: blocks * blockSize)
  }

  mutating func round() {
    if isOneIn(2) { for _ in 0..<Int.random(in: 1...4, using: &random) { add() } }
    if !isSteady, isOneIn(20), let id = scheduler.sequences.keys.sorted().randomElement(using: &random) {
      scheduler.remove(id)
    }
    step()
  }

  /// Runs until nothing is left.
  mutating func drain() {
    for _ in 0..<20_000 where !scheduler.isEmpty { step() }
    #expect(scheduler.isEmpty, "a sequence does not end")
    #expect(scheduler.blocks.heldCount == 0)
    #expect(scheduler.blocks.freeCount == scheduler.blocks.total)
  }

  private mutating func isOneIn(_ count: Int) -> Bool { Int.random(in: 0..<count, using: &random) == 0 }

  private mutating func add() {
    let room = scheduler.blocks.total * scheduler.blocks.blockSize
    let count = Int.random(in: 1...max(1, room / 2), using: &random)
    scheduler.add(
      Sequence(
        id: nextID, arrival: nextID,
        request: GenerationRequest(prompt: random.ids(count, below: alphabet), maxTokens: 99)))
    ends[nextID] = count + Int.random(in: 0...12, using: &random) + (isOneIn(25) && !isSteady ? room : 0)
    counts.promptTokens += count
    nextID += 1
  }

  private mutating func step() {
    counts.steps += 1
    let oldest = scheduler.sequences.keys.min()
    let plan = scheduler.schedule()
    for failure in plan.failures {
      #expect(failure.error.code == .contextOverflow && scheduler[failure.sequence] == nil)
    }
    counts.failures += plan.failures.count
    checkLimits(plan, oldest)
    write(plan)
    if !isSteady, isOneIn(40) {
      counts.abandoned += 1
      scheduler.abandon()
      slots = Array(repeating: 0, count: slots.count)
      return scheduler.check()
    }
    scheduler.commit(plan.shares)
    scheduler.check()
    checkContent()
    for share in plan.shares { goOn(share.sequence) }
  }

  private func checkLimits(_ plan: Scheduler.Plan, _ oldest: Int?) {
    #expect(plan.shares.reduce(0) { $0 + $1.range.count } <= scheduler.limits.tokens)
    #expect(plan.shares.count <= scheduler.limits.sequences)
    #expect(Set(plan.shares.map(\.sequence)).count == plan.shares.count)
    #expect(plan.shares.allSatisfy { !$0.range.isEmpty })
    #expect(plan.shares.map(\.sequence) == plan.shares.map(\.sequence).sorted(), "oldest first")
    if let oldest, plan.failures.isEmpty { #expect(plan.shares.first?.sequence == oldest, "starved") }
  }

  /// Writes the shares' tokens, all of them before any is read.
  private mutating func write(_ plan: Scheduler.Plan) {
    let size = scheduler.blocks.blockSize
    var written: [Int32: Int] = [:]
    for share in plan.shares {
      guard let sequence = scheduler[share.sequence] else { continue }
      #expect(share.range.lowerBound == sequence.computed && share.range.upperBound <= sequence.tokens.count)
      #expect(sequence.blockTable.count * size >= share.range.upperBound)
      if share.range.count > 1, share.range.lowerBound > sequence.request.prompt.count {
        counts.severalPending += 1
      }
      let prefixes = prefixes(sequence, share.range.upperBound)
      var isOnlyWriter = true
      for position in share.range {
        let block = sequence.blockTable[position / size]
        let writer = written.updateValue(sequence.id, forKey: block)
        isOnlyWriter = isOnlyWriter && writer ?? sequence.id == sequence.id
        slots[Int(block) * size + position % size] = prefixes[position]
      }
      #expect(isOnlyWriter, "a block has two writers")
    }
    for sequence in scheduler.sequences.values {
      for (place, block) in sequence.blockTable.enumerated() {
        guard let writer = written[block], writer != sequence.id else { continue }
        #expect(sequence.computed >= (place + 1) * size, "a block is written under its reader")
        counts.sharedInStep += 1
      }
    }
  }

  /// Hashes of a sequence's text up to each of its first `count` tokens (FNV-1a).
  private func prefixes(_ sequence: Sequence, _ count: Int) -> [UInt64] {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    return sequence.tokens[..<count].map { token in
      hash = (hash ^ UInt64(token)) &* 0x100_0000_01B3
      return hash
    }
  }

  private func checkContent() {
    let size = scheduler.blocks.blockSize
    for sequence in scheduler.sequences.values {
      let prefixes = prefixes(sequence, sequence.computed)
      let isOwn = prefixes.indices.allSatisfy { position in
        slots[Int(sequence.blockTable[position / size]) * size + position % size] == prefixes[position]
      }
      #expect(isOwn, "sequence \(sequence.id) sees another text")
    }
  }

  /// What an engine does with a sequence that is through: one token more, several, another text, or the end.
  private mutating func goOn(_ id: Int) {
    guard let sequence = scheduler[id], sequence.pending == 0 else { return }
    guard sequence.tokens.count < ends[id] ?? 0 else { return scheduler.remove(id) }
    switch Int.random(in: 0..<8, using: &random) {
    case 0:
      scheduler[id]?.tokens += random.ids(Int.random(in: 2...7, using: &random), below: alphabet)
    case 1:
      let kept = Int.random(in: sequence.request.prompt.count...sequence.tokens.count, using: &random)
      let tokens = random.ids(Int.random(in: 0...4, using: &random), below: alphabet)
      scheduler.rewrite(id, to: Array(sequence.tokens[..<kept]) + tokens)
      ends[id, default: 0] -= 1
    case 2:
      if case .choosing = sequence.phase {
      } else {
        scheduler[id]?.choiceBase = sequence.tokens.count
        scheduler[id]?.phase = .choosing(index: 0)
      }
      let base = scheduler[id]?.choiceBase ?? 0
      scheduler.rewrite(
        id, to: Array(sequence.tokens.prefix(base)) + random.ids(3, below: alphabet))
      ends[id, default: 0] -= 2
    default:
      scheduler[id]?.tokens += random.ids(1, below: alphabet)
    }
  }
}
