import Basics
import Tensors

/// Decides which tokens of which sequences run in a step: pure, without I/O.
///
/// Sequences that have started go first, oldest first; the rest of the token budget admits waiting ones in order
/// of arrival. A sequence takes as many of its uncomputed tokens as the budget allows: one in plain decode, several
/// in prefill or behind tokens that were appended without sampling. Where blocks run out, the sequence started last
/// gives its blocks back and is computed again later, so the oldest one always goes on.
///
/// A block that a share fills enters the prefix index when the share is planned, not when it has run. A sequence
/// planned later in the same step therefore finds it and reads it in place: a step writes all its keys and values
/// of a layer before it reads any. So what many new sequences have in common is computed once, by the first.
struct Scheduler {
  struct Limits: Sendable {
    /// Sequences in a step.
    var sequences: Int
    /// Tokens in a step.
    var tokens: Int
  }

  struct Share: Equatable {
    let sequence: Int
    /// Indices into the sequence's tokens.
    let range: Range<Int>
  }

  /// What a step does.
  struct Plan: Equatable {
    var shares: [Share] = []
    /// Sequences that no cache of this size can hold; they are removed.
    var failures: [Failure] = []
  }

  struct Failure: Equatable {
    let sequence: Int
    /// `contextOverflow`.
    let error: RetortError
  }

  /// Tokens counted over all steps.
  struct Tally: Equatable {
    /// Prompt tokens run for the first time.
    var computedPromptTokens = 0
    /// Prompt tokens that were in the cache when first needed.
    var cachedPromptTokens = 0
    /// Tokens run again, after preemption or a rewind to a block's start.
    var recomputedTokens = 0
    var preemptions = 0
  }

  private enum Reservation { case done, preempted, failed }

  let limits: Limits
  private(set) var sequences: [Int: Sequence] = [:]
  private(set) var waiting: [Int] = []
  private(set) var running: [Int] = []
  private(set) var blocks: BlockManager
  private(set) var tally = Tally()

  init(limits: Limits, blocks: BlockManager) {
    self.limits = limits
    self.blocks = blocks
  }

  var isEmpty: Bool { waiting.isEmpty && running.isEmpty }

  subscript(id: Int) -> Sequence? {
    get { sequences[id] }
    set { sequences[id] = newValue }
  }

  mutating func add(_ sequence: Sequence) {
    sequences[sequence.id] = sequence
    waiting.append(sequence.id)
  }

  // MARK: A step

  /// The next step's shares. Each is to be run and then committed, or all of them abandoned.
  mutating func schedule() -> Plan {
    var plan = Plan()
    var budget = limits.tokens
    goOn(&plan, &budget)
    admit(&plan, &budget)
    return plan
  }

  /// Records that shares have run.
  mutating func commit(_ shares: [Share]) {
    for share in shares {
      guard var sequence = sequences[share.sequence] else { continue }
      let prompt = sequence.request.prompt.count
      let known = min(sequence.reached, share.range.upperBound) - share.range.lowerBound
      tally.recomputedTokens += max(0, known)
      let first = max(sequence.reached, share.range.lowerBound)
      tally.computedPromptTokens += max(0, min(prompt, share.range.upperBound) - first)
      sequence.computed = share.range.upperBound
      sequence.reached = max(sequence.reached, sequence.computed)
      publish(&sequence, limit: sequence.computed, swaps: true)
      sequences[share.sequence] = sequence
    }
  }

  /// After a step that failed on the device: nothing in the cache is believed, all sequences wait to start again.
  mutating func abandon() {
    while let id = running.last { giveBack(id) }
    blocks.forgetPrefixes()
  }

  /// Shares of the sequences that have started.
  private mutating func goOn(_ plan: inout Plan, _ budget: inout Int) {
    var index = 0
    while index < running.count, budget > 0 {
      let id = running[index]
      reuse(id)
      guard let sequence = sequences[id], sequence.pending > 0 else {
        index += 1
        continue
      }
      let count = min(sequence.pending, budget)
      switch reserve(id, tokens: sequence.computed + count) {
      case .done:
        share(id, count, &plan)
        budget -= count
        index += 1
      case .preempted:
        break  // The next one, if any, has taken its index.
      case .failed:
        fail(id, &plan)
      }
    }
  }

  /// Shares of waiting sequences, in order of arrival.
  private mutating func admit(_ plan: inout Plan, _ budget: inout Int) {
    while budget > 0, running.count < limits.sequences, let id = waiting.first {
      guard admit(id) else {
        guard running.isEmpty else { return }
        fail(id, &plan)
        continue
      }
      guard let sequence = sequences[id] else { return }
      let count = min(sequence.pending, budget)
      guard reserve(id, tokens: sequence.computed + count) == .done else { return }
      share(id, count, &plan)
      budget -= count
    }
  }

  /// Starts a waiting sequence where its whole known text fits the free blocks beside what started ones still
  /// need, with a block to spare for each of those, so that admission does not cause preemption at once.
  private mutating func admit(_ id: Int) -> Bool {
    guard var sequence = sequences[id] else { return false }
    let tally = self.tally
    reuse(&sequence)
    let needed = blocks.blocks(for: sequence.tokens.count) - sequence.blockTable.count
    let promised = running.reduce(0) { sum, id in
      guard let other = sequences[id] else { return sum }
      return sum + 1 + max(0, blocks.blocks(for: other.tokens.count) - other.blockTable.count)
    }
    guard needed + promised <= blocks.freeCount else {
      blocks.release(&sequence.blockTable)
      self.tally = tally
      return false
    }
    if sequence.phase == .waiting { sequence.phase = .generating }
    sequences[id] = sequence
    waiting.removeFirst()
    running.append(id)
    return true
  }

  private mutating func share(_ id: Int, _ count: Int, _ plan: inout Plan) {
    guard var sequence = sequences[id] else { return }
    let end = sequence.computed + count
    plan.shares.append(Share(sequence: id, range: sequence.computed..<end))
    publish(&sequence, limit: end, swaps: false)
    sequences[id] = sequence
  }

  // MARK: Blocks

  private mutating func reuse(_ id: Int) {
    guard var sequence = sequences[id] else { return }
    reuse(&sequence)
    sequences[id] = sequence
  }

  /// Takes indexed blocks for what comes next in a sequence whose blocks are all full. The last token is always
  /// left to compute, since what follows it is wanted.
  private mutating func reuse(_ sequence: inout Sequence) {
    let held = sequence.blockTable.count
    guard sequence.published == held, sequence.computed == held * blocks.blockSize else { return }
    let limit = min(sequence.settledCount, sequence.tokens.count - 1)
    blocks.extend(&sequence.blockTable, with: sequence.tokens, limit: limit)
    guard sequence.blockTable.count > held else { return }
    let prompt = sequence.request.prompt.count
    sequence.published = sequence.blockTable.count
    sequence.computed = sequence.published * blocks.blockSize
    tally.cachedPromptTokens += max(0, min(prompt, sequence.computed) - min(prompt, sequence.reached))
    sequence.reached = max(sequence.reached, sequence.computed)
  }

  private mutating func publish(_ sequence: inout Sequence, limit: Int, swaps: Bool) {
    sequence.published = blocks.publish(
      &sequence.blockTable, from: sequence.published, tokens: sequence.tokens,
      limit: min(limit, sequence.settledCount), swaps: swaps)
  }

  /// Blocks for a running sequence, preempting younger ones.
  private mutating func reserve(_ id: Int, tokens: Int) -> Reservation {
    guard var sequence = sequences[id] else { return .failed }
    while !blocks.grow(&sequence.blockTable, toHold: tokens) {
      guard let last = running.last, running.count > 1 else { return .failed }
      giveBack(last)
      tally.preemptions += 1
      if last == id { return .preempted }
    }
    sequences[id] = sequence
    return .done
  }

  /// Moves the last running sequence to the front of the queue, without its blocks.
  private mutating func giveBack(_ id: Int) {
    running.removeAll { $0 == id }
    guard var sequence = sequences[id] else { return }
    blocks.release(&sequence.blockTable)
    sequence.computed = 0
    sequence.published = 0
    sequences[id] = sequence
    waiting.insert(id, at: 0)
  }

  // MARK: Changes

  /// Gives a sequence another text, keeping of the cache what both texts begin with. The last token is left to
  /// compute, since what follows it is wanted.
  mutating func rewrite(_ id: Int, to tokens: [Int32]) {
    guard var sequence = sequences[id] else { return }
    let agreed = zip(sequence.tokens, tokens).prefix { $0 == $1 }.count
    let end = max(0, min(sequence.computed, agreed, tokens.count - 1))
    (sequence.computed, sequence.published) = blocks.rewind(
      &sequence.blockTable, published: sequence.published, to: end)
    sequence.reached = min(sequence.reached, agreed)
    sequence.tokens = tokens
    sequences[id] = sequence
  }

  /// Forgets a sequence and gives its blocks back.
  mutating func remove(_ id: Int) {
    guard var sequence = sequences.removeValue(forKey: id) else { return }
    blocks.release(&sequence.blockTable)
    running.removeAll { $0 == id }
    waiting.removeAll { $0 == id }
  }

  private mutating func fail(_ id: Int, _ plan: inout Plan) {
    let count = sequences[id]?.tokens.count ?? 0
    let error = RetortError(
      .contextOverflow, "\(count) tokens do not fit the cache of \(blocks.total * blocks.blockSize)",
      field: "context", position: "sequence \(id)",
      remedy: "Shorten the text or give a larger --context.")
    plan.failures.append(Failure(sequence: id, error: error))
    remove(id)
  }
}
