import Basics

/// A grammar as a recursive transition network over UTF-8 bytes.
///
/// A node is a place in the network; expressions are compiled from the back, so a node's successor is mostly
/// below it. Counted repetitions are not unrolled: they count on the stack.
struct GrammarProgram: Sendable {
  enum Node: Sendable {
    /// Reads one byte of a set.
    case read(set: Int32, next: Int32)
    /// Goes on at each of these.
    case split([Int32])
    /// Goes through a rule, then on.
    case call(rule: Int32, next: Int32)
    /// Begins a counted repetition.
    case count(Int32)
    /// Ends a rule or a repetition's body: the stack tells where to go on.
    case end
  }

  /// A counted repetition; without `atMost` the count stops at `atLeast`.
  struct Repetition: Sendable {
    var body: Int32
    var exit: Int32
    var atLeast: Int32
    var atMost: Int32?
  }

  private(set) var nodes: [Node] = [.end]
  private(set) var sets: [ByteSet] = []
  private(set) var repetitions: [Repetition] = []
  /// Where each rule begins.
  private(set) var starts: [Int32]
  let root: Int32

  /// The fewest bytes from each node to the end of its rule or body; `unreachable` where there is no way.
  private(set) var lengths: [Int] = []
  /// As `lengths` with each choice's longest alternative, that one written as shortly as can be; at least `lengths`.
  private(set) var choiceLengths: [Int] = []
  /// Choices, as the grammar has them, among the nodes that go on at several others.
  private var choices: Set<Int32> = []
  /// The nodes of bodies that repeat as often as wanted, not counted on the stack.
  private(set) var repeated: Set<Int32> = []

  static let end: Int32 = 0
  static let unreachable = Int.max
  /// The largest network, in nodes.
  static let mostNodes = 1 << 20

  private let available: ByteSet
  private let nullable: [Bool]
  private var setIndices: [ByteSet: Int32] = [:]
  private var readIndices: [SIMD2<Int32>: Int32] = [:]

  /// Compiles a grammar for a vocabulary that can write the `available` bytes one by one.
  ///
  /// - Throws: `malformedFile` for a grammar that is too large or that no text matches.
  init(_ grammar: Grammar, available: ByteSet) throws {
    self.available = available
    nullable = grammar.nullableRules()
    starts = [Int32](repeating: 0, count: grammar.rules.count)
    root = Int32(grammar.root)
    for index in grammar.calleesFirst() {
      let rule = grammar.rules[index]
      starts[index] = try compile(rule.node, GrammarProgram.end)
      guard nodes.count <= GrammarProgram.mostNodes else { throw tooLarge(rule, grammar) }
    }
    readIndices = [:]
    setIndices = [:]
    lengths = shortestLengths()
    choiceLengths = longestChoices()
    choices = []
    guard lengths[Int(starts[grammar.root])] != GrammarProgram.unreachable else {
      let rule = grammar.rules[grammar.root]
      throw RetortError(
        .malformedFile, "no text matches: every way goes on for ever or needs a byte without a token",
        file: grammar.file, field: rule.name, position: rule.position,
        remedy: "Give each recursive rule an alternative that ends, and no class that is empty.")
    }
  }

  private func tooLarge(_ rule: GrammarRule, _ grammar: Grammar) -> RetortError {
    RetortError(
      .malformedFile, "the grammar needs more than \(GrammarProgram.mostNodes) nodes", file: grammar.file,
      field: rule.name, position: rule.position, remedy: "Write a smaller grammar.")
  }

  // MARK: Compilation

  private mutating func add(_ node: Node) -> Int32 {
    nodes.append(node)
    return Int32(nodes.count - 1)
  }

  /// Adds what reads `node` and goes on at `next`; returns where it begins.
  private mutating func compile(_ node: GrammarNode, _ next: Int32) throws -> Int32 {
    guard nodes.count <= GrammarProgram.mostNodes else { return next }
    switch node {
    case .literal(let bytes):
      return bytes.reversed().reduce(next) { read(ByteSet($1...$1), $0) }
    case .scalars(let set): return scalars(set, next)
    case .sequence(let parts): return try parts.reversed().reduce(next) { try compile($1, $0) }
    case .choice(let options):
      let node = add(.split(try options.map { try compile($0, next) }))
      choices.insert(node)
      return node
    case .rule(let index): return add(.call(rule: Int32(index), next: next))
    case .repetition(let body, let atLeast, let atMost):
      return try repetition(body, atLeast, atMost, next)
    }
  }

  private mutating func read(_ bytes: ByteSet, _ next: Int32) -> Int32 {
    var bytes = bytes
    bytes.formIntersection(available)
    let set = setIndices[bytes] ?? Int32(sets.count)
    if Int(set) == sets.count {
      setIndices[bytes] = set
      sets.append(bytes)
    }
    // Equal tails are one node, so that states that mean the same are the same.
    let key = SIMD2(set, next)
    if let index = readIndices[key] { return index }
    let index = add(.read(set: set, next: next))
    readIndices[key] = index
    return index
  }

  /// A class as a tree of byte sets, branches with the same rest joined.
  private mutating func scalars(_ set: ScalarSet, _ next: Int32) -> Int32 {
    var branches: [(rest: Int32, bytes: ByteSet)] = []
    for sequence in set.utf8Sequences {
      let rest = sequence.dropFirst().reversed().reduce(next) { read(ByteSet($1), $0) }
      let bytes = ByteSet(sequence[0])
      if let index = branches.firstIndex(where: { $0.rest == rest }) {
        branches[index].bytes.formUnion(bytes)
      } else {
        branches.append((rest, bytes))
      }
    }
    let reads = branches.map { read($0.bytes, $0.rest) }
    return reads.count == 1 ? reads[0] : add(.split(reads))
  }

  private mutating func repetition(
    _ body: GrammarNode, _ atLeast: Int, _ atMost: Int?, _ next: Int32
  ) throws -> Int32 {
    // A body that may be empty can fill up the required count with nothing.
    let least = body.isNullable(nullable) ? 0 : atLeast
    switch (least, atMost) {
    case (_, 0): return next
    case (1, 1): return try compile(body, next)
    case (0, 1): return add(.split([try compile(body, next), next]))
    case (0, nil), (1, nil):
      let loop = add(.split([]))
      let start = try compile(body, loop)
      nodes[Int(loop)] = .split([start, next])
      repeated.formUnion(loop + 1..<Int32(nodes.count))
      return least == 0 ? loop : start
    default:
      let start = try compile(body, GrammarProgram.end)
      repetitions.append(
        Repetition(body: start, exit: next, atLeast: Int32(least), atMost: atMost.map { Int32($0) }))
      return add(.count(Int32(repetitions.count - 1)))
    }
  }
}

// MARK: - Shortest texts

extension GrammarProgram {
  /// Relaxes until nothing changes; nodes follow their successors, so only recursion needs more than one pass.
  private func shortestLengths() -> [Int] {
    var lengths = [Int](repeating: GrammarProgram.unreachable, count: nodes.count)
    lengths[0] = 0
    var isChanged = true
    while isChanged {
      isChanged = false
      for index in nodes.indices {
        let length = length(of: nodes[index], lengths)
        if length < lengths[index] {
          lengths[index] = length
          isChanged = true
        }
      }
    }
    return lengths
  }

  private func length(of node: Node, _ lengths: [Int]) -> Int {
    switch node {
    case .read(let set, let next):
      return sets[Int(set)].isEmpty
        ? GrammarProgram.unreachable : GrammarProgram.sum(1, lengths[Int(next)])
    case .split(let targets):
      return targets.reduce(GrammarProgram.unreachable) { min($0, lengths[Int($1)]) }
    case .call(let rule, let next):
      return GrammarProgram.sum(lengths[Int(starts[Int(rule)])], lengths[Int(next)])
    case .count(let index):
      let repetition = repetitions[Int(index)]
      let bodies = GrammarProgram.product(Int(repetition.atLeast), lengths[Int(repetition.body)])
      return GrammarProgram.sum(bodies, lengths[Int(repetition.exit)])
    case .end: return 0
    }
  }

  /// One pass along successors: what recursion leads back to counts with its shortest text.
  private func longestChoices() -> [Int] {
    var longest = lengths
    for index in nodes.indices where lengths[index] != GrammarProgram.unreachable {
      if case .split(let targets) = nodes[index], choices.contains(Int32(index)) {
        longest[index] = targets.reduce(lengths[index]) {
          lengths[Int($1)] == GrammarProgram.unreachable ? $0 : max($0, longest[Int($1)])
        }
      } else if case .split(let targets) = nodes[index] {
        let shortest = targets.first { lengths[Int($0)] == lengths[index] }
        longest[index] = shortest.map { longest[Int($0)] } ?? lengths[index]
      } else {
        longest[index] = max(lengths[index], length(of: nodes[index], longest))
      }
    }
    return longest
  }

  /// A sum that stays at `unreachable`.
  static func sum(_ a: Int, _ b: Int) -> Int {
    let (sum, isOverflow) = a.addingReportingOverflow(b)
    return isOverflow ? unreachable : sum
  }

  /// A product that stays at `unreachable`; no times anything is nothing.
  static func product(_ times: Int, _ length: Int) -> Int {
    let (product, isOverflow) = times.multipliedReportingOverflow(by: length)
    return isOverflow ? unreachable : product
  }
}
