import Basics
import Foundation

/// One forward position of a ``LabelTrie``: after `path`, the log-probabilities of `tokens` are read.
public struct TrieQuery: Sendable, Hashable {
  /// The tokens that follow the label position; empty for the label position itself.
  public let path: [Int32]
  /// The tokens that continue towards a label, in increasing order.
  public let tokens: [Int32]

  public init(path: [Int32], tokens: [Int32]) {
    self.path = path
    self.tokens = tokens
  }
}

/// The labels' token sequences as a tree, which gives each label its exact probability under the model.
///
/// A label's probability is the product of its tokens' conditional probabilities, normalised over the label set
/// (docs/method.md). Where one label's tokens begin another's, an answer counts for the longest label that it
/// begins with: the shorter label gets the probability of its tokens less that of the longer labels.
public struct LabelTrie: Sendable {
  private struct Node {
    var path: [Int32]
    /// Child nodes by token.
    var children: [Int32: Int] = [:]
    /// The label that ends here.
    var label: Int?
    /// The nearest node above where a label ends.
    var enclosing: Int?
  }

  private var nodes: [Node]
  private let leaves: [Int]

  /// The forward positions, the label position first and then by depth; every one is needed, for even a node
  /// with one child contributes that child's probability.
  public let queries: [TrieQuery]

  /// Builds the tree from one token sequence a label, in the order of the label set.
  ///
  /// - Throws: `invalidArgument` where there is no label, a sequence is empty, a token is negative, or two
  ///   labels have the same tokens.
  public init(sequences: [[Int32]]) throws {
    guard !sequences.isEmpty else { throw LabelTrie.problem("there are no labels", field: "labels") }
    var nodes = [Node(path: [])]
    var leaves: [Int] = []
    for (label, tokens) in sequences.enumerated() {
      let field = "labels[\(label)]"
      guard !tokens.isEmpty else { throw LabelTrie.problem("the label has no tokens", field: field) }
      guard tokens.allSatisfy({ $0 >= 0 }) else {
        throw LabelTrie.problem("a token is negative", field: field)
      }
      let leaf = LabelTrie.insert(tokens, into: &nodes)
      if let other = nodes[leaf].label {
        throw LabelTrie.problem("the label has the same tokens as labels[\(other)]", field: field)
      }
      nodes[leaf].label = label
      leaves.append(leaf)
    }
    LabelTrie.linkEnclosing(&nodes)
    queries = nodes.filter { !$0.children.isEmpty }
      .map { TrieQuery(path: $0.path, tokens: $0.children.keys.sorted()) }
      .sorted {
        $0.path.count != $1.path.count
          ? $0.path.count < $1.path.count : $0.path.lexicographicallyPrecedes($1.path)
      }
    self.nodes = nodes
    self.leaves = leaves
  }

  private static func insert(_ tokens: [Int32], into nodes: inout [Node]) -> Int {
    var node = 0
    for token in tokens {
      if let child = nodes[node].children[token] {
        node = child
      } else {
        nodes.append(Node(path: nodes[node].path + [token]))
        nodes[node].children[token] = nodes.count - 1
        node = nodes.count - 1
      }
    }
    return node
  }

  /// A child always stands after its parent, so one pass in order is enough.
  private static func linkEnclosing(_ nodes: inout [Node]) {
    for index in nodes.indices {
      let inherited = nodes[index].label == nil ? nodes[index].enclosing : index
      for child in nodes[index].children.values { nodes[child].enclosing = inherited }
    }
  }

  /// The labels' probabilities, in label order, summing to 1.
  ///
  /// `logProbability` gives the natural logarithm of a token's probability after a path, normalised over the
  /// whole vocabulary; it is asked once for each token of ``queries``.
  ///
  /// - Throws: what `logProbability` throws, and `deviceFailure` where a value is not a number or no label has a
  ///   probability above zero.
  public func distribution(_ logProbability: (_ path: [Int32], _ token: Int32) throws -> Double) throws
    -> [Double]
  {
    var logPath = [Double](repeating: 0, count: nodes.count)
    for (index, node) in nodes.enumerated() {
      for (token, child) in node.children {
        let value = try logProbability(node.path, token)
        guard !value.isNaN, value < .infinity else {
          throw RetortError(
            .deviceFailure, "the log-probability of token \(token) is not a number",
            remedy: "Try --compute f32 or another backend; if it persists, the model file is damaged.")
        }
        logPath[child] = logPath[index] + value
      }
    }
    return try LabelTrie.normalised(leaves.map { logOwn($0, logPath) })
  }

  /// The logarithm of a label's own share: its path less the nearest longer labels below it.
  private func logOwn(_ leaf: Int, _ logPath: [Double]) -> Double {
    let whole = logPath[leaf]
    guard whole > -.infinity else { return whole }
    var longer = 0.0
    for other in leaves where nodes[other].enclosing == leaf { longer += exp(logPath[other] - whole) }
    return longer < 1 ? whole + log1p(-longer) : -.infinity
  }

  private static func normalised(_ logs: [Double]) throws -> [Double] {
    let highest = logs.max() ?? -.infinity
    guard highest > -.infinity else {
      throw RetortError(
        .deviceFailure, "the model gives no label a probability above zero",
        remedy: "Try --compute f32 or another backend; if it persists, the model file is damaged.")
    }
    let weights = logs.map { exp($0 - highest) }
    let total = weights.reduce(0, +)
    return weights.map { $0 / total }
  }

  private static func problem(_ message: String, field: String) -> RetortError {
    RetortError(
      .invalidArgument, message, field: field,
      remedy: "Choose label names that this model's tokenizer tells apart.")
  }
}
