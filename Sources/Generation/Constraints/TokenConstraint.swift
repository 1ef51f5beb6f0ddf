import Basics
import Synchronization

/// A grammar over a tokenizer's vocabulary: which tokens may follow, and what follows by itself.
///
/// A state says all that matters of the text so far; states are small numbers, the first is ``start``, and equal
/// numbers mean the same continuations. States and masks are made on first use and kept; every function may be
/// called from any thread.
public final class TokenConstraint: Sendable {
  /// A state's number, valid for this constraint only.
  public typealias StateID = Int32

  /// Bounds on what is kept.
  public struct Limits: Sendable, Equatable {
    /// States, some hundred bytes each; beyond it an error is thrown.
    public var states = 1 << 20
    /// States beyond which an engine lets go of those that no answer on its way is in.
    public var idleStates = 1 << 16
    /// Texts read in more ways than this at once are refused.
    public var readings = 1 << 14
    /// Bytes of masks; beyond it the ones unused for longest are made anew when needed.
    public var maskBytes = 256 << 20
    /// The longest forced stretch reported at once, in bytes.
    public var forcedBytes = 4096

    public init() {}
  }

  /// The state of the empty text.
  public let start: StateID = 0
  public let vocabulary: TokenVocabulary

  let limits: Limits
  let core: Mutex<Core>

  /// What the caches hold, guarded by the lock.
  struct Core {
    var automaton: GrammarAutomaton
    var masks: TokenMaskCache
    var jumps: [StateID: Jump] = [:]
    var closings: [StateID: [Int32]] = [:]
    var narrowed = NarrowedMasks()
    /// Answers on their way, and how many states there may be before unused ones are let go.
    var leases = 0
    var crowd = 0
  }

  /// Compiles a grammar for a vocabulary.
  ///
  /// - Throws: `malformedFile` for a grammar that no text matches or that is too large; `outOfMemory` for one that
  ///   is too ambiguous.
  public init(_ grammar: Grammar, vocabulary: TokenVocabulary, limits: Limits = Limits()) throws {
    self.vocabulary = vocabulary
    self.limits = limits
    let program = try GrammarProgram(grammar, available: vocabulary.singleBytes)
    let automaton = try GrammarAutomaton(
      program, limits: .init(states: limits.states, configurations: limits.readings))
    let maskBytes = max(1, (vocabulary.size + 31) / 32 * 4)
    core = Mutex(
      Core(automaton: automaton, masks: TokenMaskCache(capacity: limits.maskBytes / maskBytes)))
  }

  /// How many states are kept.
  public var stateCount: Int { core.withLock { $0.automaton.stateCount } }

  /// Forgets all states but ``start`` and those in use, which keep their numbers; the others' numbers are void.
  ///
  /// Regular grammars need it never. With a recursive one, whoever walks it for ever calls it when ``stateCount``
  /// has grown; an engine does so by itself (``Limits/idleStates``).
  public func releaseStates(keeping live: Set<StateID>) {
    core.withLock { $0.release(keeping: live) }
  }

  /// Whether the text may end here; then the mask allows the end-of-generation tokens.
  public func canEnd(_ state: StateID) throws -> Bool {
    try withAutomaton(state) { $0.canEnd(state) }
  }

  /// Whether the text is complete: it may end here and nothing may follow.
  public func isComplete(_ state: StateID) throws -> Bool {
    try withAutomaton(state) { $0.canEnd(state) && $0.nextBytes(state).isEmpty }
  }

  /// The tokens that spell ``shortestCompletion(_:)``, remembered by state.
  public func closing(_ state: StateID) throws -> [Int32] {
    if let known = core.withLock({ $0.closings[state] }) { return known }
    let tokens = vocabulary.spell(try shortestCompletion(state))
    core.withLock { $0.keep(tokens, closing: state) }
    return tokens
  }

  /// The tokens that may follow, with the end-of-generation tokens where the text may end.
  ///
  /// It allows at least one token unless the text is complete and the vocabulary has no end token.
  public func mask(_ state: StateID) throws -> TokenMask {
    try core.withLock { core in
      try check(state, core.automaton)
      if let mask = core.masks.find(state) { return mask }
      let words = try vocabulary.mask(state, &core.automaton)
      return core.masks.insert(words, for: state)
    }
  }

  /// The state after a token, or `nil` where the token is not allowed; an end-of-generation token has no state
  /// after it.
  public func advance(_ state: StateID, token: Int32) throws -> StateID? {
    let bytes = vocabulary.bytes(of: token)
    return bytes.isEmpty ? nil : try advance(state, bytes: bytes)
  }

  /// The state after a text, or `nil` where the grammar does not go on with it.
  public func advance(_ state: StateID, bytes: some Swift.Sequence<UInt8>) throws -> StateID? {
    try withAutomaton(state) { automaton in
      var state = state
      for byte in bytes {
        state = try automaton.step(state, byte: byte)
        if state == GrammarAutomaton.dead { return nil }
      }
      return state
    }
  }

  /// The bytes that follow by themselves: the longest stretch that is the only way on, and before which the text
  /// may not end.
  public func forcedBytes(_ state: StateID) throws -> [UInt8] {
    try withAutomaton(state) { try $0.forcedBytes(state, atMost: limits.forcedBytes) }
  }

  /// A shortest text that completes the answer, in bytes; the same for a state every time.
  public func shortestCompletion(_ state: StateID) throws -> [UInt8] {
    try withAutomaton(state) { automaton in
      guard automaton.shortestLength(state) <= Grammar.longestText else {
        throw RetortError(
          .invalidArgument, "the shortest text has \(automaton.shortestLength(state)) bytes",
          field: "grammar",
          remedy: "Write a grammar with shorter texts.")
      }
      return try automaton.shortestText(state)
    }
  }

  /// The length of ``shortestCompletion(_:)``, which bounds the tokens it takes; constant time.
  public func shortestCompletionLength(_ state: StateID) throws -> Int {
    try withAutomaton(state) { $0.shortestLength(state) }
  }

  /// The tokens to append without sampling (see ``Jump``), remembered by state.
  public func jump(_ state: StateID) throws -> Jump {
    try core.withLock { core in
      try check(state, core.automaton)
      if let jump = core.jumps[state] { return jump }
      let jump = try vocabulary.jump(state, &core.automaton, forcedBytes: limits.forcedBytes)
      if core.jumps.count >= 1 << 16 { core.jumps.removeAll() }
      core.jumps[state] = jump
      return jump
    }
  }

  private func withAutomaton<R>(
    _ state: StateID, _ body: (inout GrammarAutomaton) throws -> R
  ) throws -> R {
    try core.withLock { core in
      try check(state, core.automaton)
      return try body(&core.automaton)
    }
  }

  private func check(_ state: StateID, _ automaton: borrowing GrammarAutomaton) throws {
    guard automaton.contains(state) else {
      throw RetortError(
        .invalidArgument, "state \(state) is not one of this constraint", field: "state",
        remedy: "Pass states that the same constraint has given.")
    }
  }
}

extension TokenVocabulary {
  /// The words of a state's mask: a walk through the trie that leaves out what cannot be read.
  func mask(_ state: Int32, _ automaton: inout GrammarAutomaton) throws -> [UInt32] {
    var words = [UInt32](repeating: 0, count: (size + 31) / 32)
    if automaton.canEnd(state) {
      for token in endTokens { words[Int(token) >> 5] |= 1 << UInt32(token & 31) }
    }
    try automaton.walk(self, from: state) { token, _ in
      words[Int(token) >> 5] |= 1 << UInt32(token & 31)
    }
    return words
  }
}

extension GrammarAutomaton {
  /// Calls `body` with every token that can be read from a state, and the state after it.
  @inline(__always)
  mutating func walk(
    _ vocabulary: TokenVocabulary, from state: Int32, _ body: (Int32, Int32) -> Void
  ) throws {
    var path = [Int32](repeating: state, count: vocabulary.deepest + 1)
    let nodes = vocabulary.nodes
    var index = 0
    while true {
      // Known steps are followed through plain pointers; a new one interrupts the walk.
      let isDone = nodes.withUnsafeBufferPointer { nodes in
        path.withUnsafeMutableBufferPointer { path in
          withTable { table, classes in
            while index < nodes.count {
              let node = nodes[index]
              let depth = Int(node.depth)
              let next = table[Int(path[depth &- 1]) &* classCount &+ Int(classes[Int(node.byte)])]
              guard next >= 0 else {
                guard next == GrammarAutomaton.dead else { return false }
                index = Int(node.skip)
                continue
              }
              path[depth] = next
              index &+= 1
              guard node.token >= 0 else { continue }
              body(node.token, next)
              guard node.hasMore, let others = vocabulary.sameText[node.token] else { continue }
              for token in others { body(token, next) }
            }
            return true
          }
        }
      }
      if isDone { return }
      _ = try step(path[Int(nodes[index].depth) - 1], byte: nodes[index].byte)
    }
  }

  /// A shortest text from a state to the end.
  mutating func shortestText(_ state: Int32) throws -> [UInt8] {
    var state = state
    var result: [UInt8] = []
    while let byte = shortestByte(state) {
      state = try step(state, byte: byte)
      guard state != GrammarAutomaton.dead else { break }
      result.append(byte)
    }
    return result
  }

  /// The only way on from a state, as long as there is one and the text may not end.
  mutating func forcedBytes(_ state: Int32, atMost limit: Int) throws -> [UInt8] {
    var state = state
    var result: [UInt8] = []
    while result.count < limit, !canEnd(state) {
      let next = nextBytes(state)
      guard next.count == 1, let byte = next.preferred else { break }
      let after = try step(state, byte: byte)
      guard after != GrammarAutomaton.dead else { break }
      result.append(byte)
      state = after
    }
    return result
  }
}
