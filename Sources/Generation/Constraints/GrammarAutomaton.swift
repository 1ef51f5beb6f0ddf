import Basics

/// The states of a grammar program, made as they are first reached.
///
/// A state is the sorted set of its configurations: a reading node and a stack. Stacks are hash-consed, so equal
/// sets have equal numbers and a regular grammar becomes a deterministic finite automaton. Not thread-safe.
struct GrammarAutomaton {
  /// Sizes beyond which an error is thrown instead of memory filled.
  struct Limits: Sendable, Equatable {
    /// States, some hundred bytes each.
    var states = 1 << 20
    /// Configurations of one state.
    var configurations = 1 << 14
  }

  static let dead: Int32 = -1
  private static let unknown: Int32 = -2

  /// A node and the stack it has, as one word; the bare end of the root rule is 0.
  private struct Configuration: Hashable, Comparable {
    var node: Int32
    var stack: Int32
    static func < (left: Configuration, right: Configuration) -> Bool {
      (left.node, left.stack) < (right.node, right.stack)
    }
  }

  private struct State {
    var configurations: [Configuration]
    var canEnd: Bool
    var shortest: Int
    var spread = 0
    var isOpen = false
  }

  let program: GrammarProgram
  let limits: Limits
  /// The class of each byte: bytes of one class are in the same sets.
  let classes: [UInt8]
  let classCount: Int
  private let representatives: [UInt8]

  private var stacks: GrammarStacks
  private var states: [State] = []
  private var numbers: [[Configuration]: Int32] = [:]
  /// Numbers of released states, to be given again.
  private var free: [Int32] = []
  /// `[states, classCount]`: the state after a byte of the class, `dead` or `unknown`.
  private var transitions: [Int32] = []
  private var seen: Set<Configuration> = []
  private var pending: [Configuration] = []

  /// Makes the automaton with its first state, 0.
  ///
  /// - Throws: `outOfMemory` where the first state is beyond the limits.
  init(_ program: GrammarProgram, limits: Limits) throws {
    self.program = program
    self.limits = limits
    (classes, representatives) = GrammarAutomaton.byteClasses(program.sets)
    classCount = representatives.count
    stacks = GrammarStacks(program)
    pending = [Configuration(node: program.starts[Int(program.root)], stack: GrammarStacks.bottom)]
    _ = try number(close())
  }

  var stateCount: Int { states.count - free.count }

  /// Whether the number is a state's; a released one has no configurations.
  func contains(_ state: Int32) -> Bool {
    state >= 0 && Int(state) < states.count && !states[Int(state)].configurations.isEmpty
  }

  func canEnd(_ state: Int32) -> Bool { states[Int(state)].canEnd }

  /// The fewest bytes that end the text.
  func shortestLength(_ state: Int32) -> Int { states[Int(state)].shortest }

  /// How many bytes more than the shortest a text takes that ends soon, but with any of the choices on its way.
  func spread(_ state: Int32) -> Int { states[Int(state)].spread }

  /// Whether the text is in a repetition that need not go on.
  func isOpen(_ state: Int32) -> Bool { states[Int(state)].isOpen }

  private static func byteClasses(_ sets: [ByteSet]) -> (classes: [UInt8], representatives: [UInt8]) {
    // Refine one class by each set in turn.
    var classes = [Int](repeating: 0, count: 256)
    var count = 1
    for set in sets where count < 256 {
      var split: [Int: Int] = [:]
      var next: [Int: Int] = [:]
      for byte in 0..<256 {
        let old = classes[byte]
        let isIn = set.contains(UInt8(byte))
        let key = old << 1 | (isIn ? 1 : 0)
        if split[key] == nil {
          split[key] = next[old] == nil ? old : count
          if next[old] != nil { count += 1 }
          next[old] = 1
        }
        classes[byte] = split[key] ?? old
      }
    }
    var representatives = [UInt8](repeating: 0, count: count)
    for byte in (0..<256).reversed() { representatives[classes[byte]] = UInt8(byte) }
    return (classes.map { UInt8($0) }, representatives)
  }

  // MARK: Steps

  /// The state after a byte, or `dead`.
  mutating func step(_ state: Int32, byte: UInt8) throws -> Int32 {
    try step(state, class: Int(classes[Int(byte)]))
  }

  /// The state after a byte of a class, or `dead`.
  @inline(__always)
  mutating func step(_ state: Int32, class byteClass: Int) throws -> Int32 {
    let known = transitions[Int(state) &* classCount &+ byteClass]
    return known == GrammarAutomaton.unknown ? try newStep(state, byteClass) : known
  }

  /// The transitions, `[states, classCount]` with negative numbers for none and unknown, and the classes.
  @inline(__always)
  func withTable<R>(_ body: (UnsafeBufferPointer<Int32>, UnsafeBufferPointer<UInt8>) -> R) -> R {
    transitions.withUnsafeBufferPointer { table in classes.withUnsafeBufferPointer { body(table, $0) } }
  }

  @inline(never)
  private mutating func newStep(_ state: Int32, _ byteClass: Int) throws -> Int32 {
    let byte = representatives[byteClass]
    pending.removeAll(keepingCapacity: true)
    for configuration in states[Int(state)].configurations {
      guard case .read(let set, let next) = program.nodes[Int(configuration.node)],
        program.sets[Int(set)].contains(byte)
      else { continue }
      pending.append(Configuration(node: next, stack: configuration.stack))
    }
    let target = pending.isEmpty ? GrammarAutomaton.dead : try number(close())
    transitions[Int(state) * classCount + byteClass] = target
    return target
  }

  /// Follows everything that reads no byte from `pending`; keeps what can still end.
  private mutating func close() throws -> [Configuration] {
    seen.removeAll(keepingCapacity: true)
    var result: [Configuration] = []
    while let top = pending.popLast() {
      // Paths without an end are dropped here, so a state always leads to a whole text.
      guard program.lengths[Int(top.node)] != GrammarProgram.unreachable, seen.insert(top).inserted
      else { continue }
      guard seen.count <= limits.configurations * 8, result.count <= limits.configurations else {
        throw tooAmbiguous()
      }
      switch program.nodes[Int(top.node)] {
      case .read: result.append(top)
      case .split(let targets):
        for target in targets { pending.append(Configuration(node: target, stack: top.stack)) }
      case .call(let rule, let next):
        guard program.lengths[Int(next)] != GrammarProgram.unreachable else { continue }
        pending.append(
          Configuration(node: program.starts[Int(rule)], stack: stacks.push(next, on: top.stack)))
      case .count(let index): iterate(Int(index), done: 0, on: top.stack)
      case .end: end(top, into: &result)
      }
    }
    result.sort()
    return result
  }

  /// Goes on after a rule or a repetition's body.
  private mutating func end(_ top: Configuration, into result: inout [Configuration]) {
    guard top.stack != GrammarStacks.bottom else {
      result.append(top)
      return
    }
    let frame = stacks.frames[Int(top.stack)]
    if frame.node >= 0 {
      pending.append(Configuration(node: frame.node, stack: frame.parent))
    } else {
      iterate(Int(~frame.node), done: frame.count + 1, on: frame.parent)
    }
  }

  /// Begins a repetition's next round, leaves it, or both.
  private mutating func iterate(_ index: Int, done: Int32, on stack: Int32) {
    let repetition = program.repetitions[index]
    if done >= repetition.atLeast { pending.append(Configuration(node: repetition.exit, stack: stack)) }
    let round: Int32
    if let atMost = repetition.atMost {
      guard done < atMost else { return }
      round = done
    } else {
      round = min(done, repetition.atLeast)
    }
    guard program.lengths[Int(repetition.body)] != GrammarProgram.unreachable,
      program.lengths[Int(repetition.exit)] != GrammarProgram.unreachable
    else { return }
    let isLast = repetition.atMost == round + 1
    let frame =
      isLast ? stacks.push(repetition.exit, on: stack) : stacks.push(~Int32(index), count: round, on: stack)
    pending.append(Configuration(node: repetition.body, stack: frame))
  }

  /// The number of a closed set of configurations.
  private mutating func number(_ configurations: [Configuration]) throws -> Int32 {
    if configurations.isEmpty { return GrammarAutomaton.dead }
    if let number = numbers[configurations] { return number }
    guard stateCount < limits.states, stacks.count < limits.states * 4 else {
      throw RetortError(
        .outOfMemory, "the grammar has more than \(limits.states) states in use", field: "grammar",
        remedy: "Bound its recursion and its repetitions, or raise the limit of states.")
    }
    var state = State(configurations: configurations, canEnd: false, shortest: GrammarProgram.unreachable)
    var longest = 0
    for configuration in configurations {
      state.canEnd = state.canEnd || configuration.node == GrammarProgram.end
      state.shortest = min(state.shortest, length(of: configuration))
      longest = max(longest, choiceLength(of: configuration))
      state.isOpen = state.isOpen || isOpen(configuration)
    }
    state.spread = max(0, longest - state.shortest)
    let number = free.popLast() ?? Int32(states.count)
    if Int(number) == states.count {
      states.append(state)
      transitions.append(contentsOf: repeatElement(GrammarAutomaton.unknown, count: classCount))
    } else {
      states[Int(number)] = state
    }
    numbers[configurations] = number
    return number
  }

  /// Forgets every state but the first and the `live` ones, which keep their numbers.
  mutating func release(keeping live: Set<Int32>) {
    for index in states.indices where index != 0 && !live.contains(Int32(index)) {
      guard !states[index].configurations.isEmpty else { continue }
      numbers[states[index].configurations] = nil
      states[index].configurations = []
      free.append(Int32(index))
      for slot in index * classCount..<(index + 1) * classCount {
        transitions[slot] = GrammarAutomaton.unknown
      }
    }
    for slot in transitions.indices where transitions[slot] >= 0 && !contains(transitions[slot]) {
      transitions[slot] = GrammarAutomaton.unknown
    }
    stacks.release(keeping: states.lazy.flatMap { $0.configurations.map(\.stack) })
  }

  private func length(of configuration: Configuration) -> Int {
    GrammarProgram.sum(
      program.lengths[Int(configuration.node)], stacks.frames[Int(configuration.stack)].length)
  }

  private func choiceLength(of configuration: Configuration) -> Int {
    GrammarProgram.sum(
      program.choiceLengths[Int(configuration.node)], stacks.frames[Int(configuration.stack)].choiceLength)
  }

  private func isOpen(_ configuration: Configuration) -> Bool {
    if program.repeated.contains(configuration.node) { return true }
    let frame = stacks.frames[Int(configuration.stack)]
    return frame.node < 0 && frame.count >= program.repetitions[Int(~frame.node)].atLeast
  }

  private func tooAmbiguous() -> RetortError {
    RetortError(
      .outOfMemory, "the grammar is too ambiguous: a text has more than \(limits.configurations) readings",
      field: "grammar",
      remedy: "Avoid counted repetitions inside counted repetitions that match the same text.")
  }

  // MARK: Ways on

  /// The bytes that may follow.
  func nextBytes(_ state: Int32) -> ByteSet {
    var result = ByteSet()
    for configuration in states[Int(state)].configurations {
      if case .read(let set, _) = program.nodes[Int(configuration.node)] {
        result.formUnion(program.sets[Int(set)])
      }
    }
    return result
  }

  /// A byte with which the shortest text goes on, or `nil` at the end.
  func shortestByte(_ state: Int32) -> UInt8? {
    let best = states[Int(state)].shortest
    for configuration in states[Int(state)].configurations where length(of: configuration) == best {
      guard case .read(let set, _) = program.nodes[Int(configuration.node)] else { return nil }
      return program.sets[Int(set)].preferred
    }
    return nil
  }
}

/// The hash-consed stacks of an automaton.
struct GrammarStacks {
  /// A stack's top: where to go on (`node` ≥ 0), or the round (`count`) of the repetition `~node`.
  struct Frame {
    var node: Int32
    var count: Int32
    var parent: Int32
    /// The fewest bytes from the end of this frame to the end of the text.
    var length: Int
    /// The same with the longest alternative of each choice.
    var choiceLength: Int
  }

  private struct Key: Hashable {
    var node: Int32
    var count: Int32
    var parent: Int32
  }

  static let bottom: Int32 = 0

  private(set) var frames = [
    Frame(node: GrammarProgram.end, count: 0, parent: -1, length: 0, choiceLength: 0)
  ]
  private var indices: [Key: Int32] = [:]
  private var free: [Int32] = []
  private let program: GrammarProgram

  init(_ program: GrammarProgram) { self.program = program }

  /// How many stacks there are.
  var count: Int { frames.count - free.count }

  /// The stack with one more frame; a frame that would only end again is left out, so that tail recursion is a
  /// loop.
  mutating func push(_ node: Int32, count: Int32 = 0, on parent: Int32) -> Int32 {
    if node == GrammarProgram.end { return parent }
    let key = Key(node: node, count: count, parent: parent)
    if let index = indices[key] { return index }
    let frame = Frame(
      node: node, count: count, parent: parent,
      length: GrammarProgram.sum(ownLength(node, count, program.lengths), frames[Int(parent)].length),
      choiceLength: GrammarProgram.sum(
        ownLength(node, count, program.choiceLengths), frames[Int(parent)].choiceLength))
    let index = free.popLast() ?? Int32(frames.count)
    if Int(index) == frames.count { frames.append(frame) } else { frames[Int(index)] = frame }
    indices[key] = index
    return index
  }

  /// Forgets the stacks that are no part of the `live` ones.
  mutating func release(keeping live: some Swift.Sequence<Int32>) {
    var isLive = [Bool](repeating: false, count: frames.count)
    isLive[Int(GrammarStacks.bottom)] = true
    for stack in live {
      var stack = stack
      while !isLive[Int(stack)] {
        isLive[Int(stack)] = true
        stack = frames[Int(stack)].parent
      }
    }
    indices = indices.filter { isLive[Int($0.value)] }
    free = frames.indices.filter { !isLive[$0] }.map { Int32($0) }
  }

  private func ownLength(_ node: Int32, _ count: Int32, _ lengths: [Int]) -> Int {
    guard node < 0 else { return lengths[Int(node)] }
    let repetition = program.repetitions[Int(~node)]
    let rounds = max(0, Int(repetition.atLeast) - Int(count) - 1)
    return GrammarProgram.sum(
      GrammarProgram.product(rounds, lengths[Int(repetition.body)]), lengths[Int(repetition.exit)])
  }
}
