/// An expression of a grammar over Unicode scalars.
indirect enum GrammarNode: Sendable, Hashable {
  /// These bytes, which are the UTF-8 of a text.
  case literal([UInt8])
  /// One scalar of the set.
  case scalars(ScalarSet)
  case sequence([GrammarNode])
  case choice([GrammarNode])
  /// The body `atLeast` times or more, `atMost` times at most.
  case repetition(GrammarNode, atLeast: Int, atMost: Int?)
  /// The rule of that index.
  case rule(Int)

  static let empty = GrammarNode.sequence([])

  static func text(_ text: String) -> GrammarNode { .literal(Array(text.utf8)) }

  static func optional(_ body: GrammarNode) -> GrammarNode {
    .repetition(body, atLeast: 0, atMost: 1)
  }

  static func zeroOrMore(_ body: GrammarNode) -> GrammarNode {
    .repetition(body, atLeast: 0, atMost: nil)
  }
}

/// A named expression.
struct GrammarRule: Sendable {
  var name: String
  var node: GrammarNode
  /// Where it was written, in words.
  var position: String?
}
