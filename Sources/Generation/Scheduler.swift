import Basics
import Tensors

/// Decides which tokens of which sequences run in a step: pure, without I/O.
///
/// Sequences that have started go first, oldest first; the rest of the token budget admits waiting ones. Where
/// blocks run out, the latest started sequence gives its blocks back and is computed again later.
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

  let limits: Limits
  private(set) var sequences: [Int: Sequence] = [:]
  private(set) var waiting: [Int] = []
  private(set) var running: [Int] = []
  var blocks: BlockManager
  private(set) var preemptions = 0

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

  /// The next step's shares.
  ///
  /// - Throws: `contextOverflow` naming the sequence where a lone one does not fit the cache.
  mutating func schedule() throws -> [Share] {
    var shares: [Share] = []
    var budget = limits.tokens
    var index = 0
    while index < running.count, budget > 0 {
      let id = running[index]
      guard let sequence = sequences[id] else { continue }
      let count = min(sequence.pending, budget)
      if try reserve(id, tokens: sequence.computed + count, after: index) {
        shares.append(Share(sequence: id, range: sequence.computed..<sequence.computed + count))
        budget -= count
        index += 1
      } else {
        // The sequence itself was preempted; the next one has taken its index.
      }
    }
    while budget > 0, running.count < limits.sequences, let id = waiting.first {
      guard var sequence = sequences[id] else { break }
      // Admitted only where its whole known text fits, so that admission does not cause preemption at once.
      guard blocks.grow(&sequence.blockTable, toHold: sequence.tokens.count) else {
        if running.isEmpty { throw overflow(sequence) }
        break
      }
      if sequence.phase == .waiting { sequence.phase = .generating }
      sequences[id] = sequence
      waiting.removeFirst()
      running.append(id)
      let count = min(sequence.pending, budget)
      shares.append(Share(sequence: id, range: sequence.computed..<sequence.computed + count))
      budget -= count
    }
    return shares
  }

  /// Blocks for a running sequence, preempting later ones; false where it had to give way itself.
  private mutating func reserve(_ id: Int, tokens: Int, after index: Int) throws -> Bool {
    guard var sequence = sequences[id] else { return false }
    while !blocks.grow(&sequence.blockTable, toHold: tokens) {
      guard let last = running.last, running.count > 1 else { throw overflow(sequence) }
      preempt(last)
      if last == id { return false }
    }
    sequences[id] = sequence
    return true
  }

  private mutating func preempt(_ id: Int) {
    guard var sequence = sequences[id] else { return }
    blocks.release(&sequence.blockTable)
    sequence.computed = 0
    sequences[id] = sequence
    running.removeAll { $0 == id }
    waiting.insert(id, at: 0)
    preemptions += 1
  }

  /// Forgets a sequence and gives its blocks back.
  mutating func remove(_ id: Int) {
    guard var sequence = sequences[id] else { return }
    blocks.release(&sequence.blockTable)
    sequences[id] = nil
    running.removeAll { $0 == id }
    waiting.removeAll { $0 == id }
  }

  private func overflow(_ sequence: Sequence) -> RetortError {
    RetortError(
      .contextOverflow,
      "\(sequence.tokens.count) tokens do not fit the cache of \(blocks.total * blocks.blockSize)",
      field: "context", position: "sequence \(sequence.id)",
      remedy: "Shorten the text or give a larger --context.")
  }
}
