import Basics

/// A context-free grammar of texts: what a constrained answer may be.
///
/// It is read from a GBNF text, a regular expression or a JSON Schema, and has been checked: every rule that is
/// referred to exists, none is left-recursive.
public struct Grammar: Sendable {
  let rules: [GrammarRule]
  let root: Int
  let file: String?

  /// The longest counted repetition.
  static let largestCount = 1_000_000
  /// How deep groups may nest.
  static let deepestNesting = 100
  /// The longest grammar, expression or schema, in UTF-8 bytes.
  static let longestText = 4 << 20

  /// Reads a GBNF-like text, as llama.cpp writes them: `root ::= "a" [b-z]{1,3} rest*`.
  ///
  /// - Throws: `malformedFile` naming line and column, or the rule, with the remedy.
  public init(gbnf text: String, file: String? = nil) throws {
    do {
      var parser = try GBNFParser(text)
      let parsed = try parser.parse()
      try self.init(rules: parsed.rules, root: parsed.root, file: file)
    } catch let error as RetortError {
      throw file.map { error.naming(file: $0) } ?? error
    }
  }

  /// Reads a regular expression that the whole text must match (an ECMA 262 subset, see ``RegexParser``).
  ///
  /// - Throws: `malformedFile` naming the character for a broken expression; `unsupported` for look-around and
  ///   back-references.
  public init(regex: String) throws {
    var parser = try RegexParser(regex)
    let node = try parser.parse()
    try self.init(rules: [GrammarRule(name: "root", node: node)], root: 0, file: nil)
  }

  /// Reads a JSON Schema (the subset and the layout are told at ``JSONSchemaCompiler``).
  ///
  /// - Throws: `malformedFile` for what is not JSON or not a schema; `unsupported` naming the JSON path of a
  ///   keyword that is not implemented.
  public init(jsonSchema text: String, file: String? = nil) throws {
    do {
      var compiler = try JSONSchemaCompiler(text)
      let compiled = try compiler.compile()
      try self.init(rules: compiled.rules, root: compiled.root, file: file)
    } catch let error as RetortError {
      throw file.map { error.naming(file: $0) } ?? error
    }
  }

  init(rules: [GrammarRule], root: Int, file: String?) throws {
    self.rules = rules
    self.root = root
    self.file = file
    try checkLeftRecursion()
  }

  /// Whether each rule can be the empty text.
  func nullableRules() -> [Bool] {
    var nullable = [Bool](repeating: false, count: rules.count)
    let order = calleesFirst()
    var isChanged = true
    while isChanged {
      isChanged = false
      for index in order where !nullable[index] && rules[index].node.isNullable(nullable) {
        nullable[index] = true
        isChanged = true
      }
    }
    return nullable
  }

  /// The rules in an order in which, but for recursion, each comes after those it refers to, so that what is
  /// computed along it settles in few passes.
  func calleesFirst() -> [Int] {
    let callees = rules.map { rule in
      var result: Set<Int> = []
      rule.node.collectRules(into: &result)
      return result.sorted()
    }
    var order: [Int] = []
    var isSeen = [Bool](repeating: false, count: rules.count)
    for start in rules.indices where !isSeen[start] {
      var path = [(rule: start, next: 0)]
      isSeen[start] = true
      while let top = path.last {
        guard top.next < callees[top.rule].count else {
          order.append(top.rule)
          path.removeLast()
          continue
        }
        path[path.count - 1].next += 1
        let callee = callees[top.rule][top.next]
        guard !isSeen[callee] else { continue }
        isSeen[callee] = true
        path.append((callee, 0))
      }
    }
    return order
  }

  /// Refuses a rule that can begin with itself, for which no text would ever be read.
  private func checkLeftRecursion() throws {
    let nullable = nullableRules()
    let first = rules.map { rule in
      var result: [Int] = []
      rule.node.collectFirst(nullable, into: &result)
      return result
    }
    // Depth first without recursion: 1 is on the path, 2 is done.
    var mark = [UInt8](repeating: 0, count: rules.count)
    for start in rules.indices where mark[start] == 0 {
      var path = [(rule: start, next: 0)]
      mark[start] = 1
      while let top = path.last {
        guard top.next < first[top.rule].count else {
          mark[top.rule] = 2
          path.removeLast()
          continue
        }
        path[path.count - 1].next += 1
        let target = first[top.rule][top.next]
        if mark[target] == 1 {
          throw leftRecursion(path.map(\.rule).drop { $0 != target } + [target])
        }
        guard mark[target] == 0 else { continue }
        mark[target] = 1
        path.append((target, 0))
      }
    }
  }

  private func leftRecursion(_ path: [Int]) -> RetortError {
    let rule = rules[path[0]]
    let names = path.prefix(8).map { rules[$0].name }.joined(separator: " → ")
    return RetortError(
      .malformedFile, "the rule begins with itself (\(names)): left recursion reads no text", file: file,
      field: rule.name, position: rule.position,
      remedy: "Write it as a repetition or with the recursion at the end: list ::= item (\",\" item)*.")
  }
}

extension GrammarNode {
  /// Whether the expression can be the empty text, given which rules can.
  func isNullable(_ rules: [Bool]) -> Bool {
    switch self {
    case .literal(let bytes): bytes.isEmpty
    case .scalars: false
    case .sequence(let parts): parts.allSatisfy { $0.isNullable(rules) }
    case .choice(let options): options.contains { $0.isNullable(rules) }
    case .repetition(let body, let atLeast, let atMost):
      atLeast == 0 || atMost == 0 || body.isNullable(rules)
    case .rule(let index): rules[index]
    }
  }

  /// The rules referred to.
  func collectRules(into result: inout Set<Int>) {
    switch self {
    case .literal, .scalars: break
    case .sequence(let parts), .choice(let parts): for part in parts { part.collectRules(into: &result) }
    case .repetition(let body, _, _): body.collectRules(into: &result)
    case .rule(let index): result.insert(index)
    }
  }

  /// The rules that can come first, before any byte is read.
  func collectFirst(_ nullable: [Bool], into result: inout [Int]) {
    switch self {
    case .literal, .scalars: break
    case .sequence(let parts):
      for part in parts {
        part.collectFirst(nullable, into: &result)
        if !part.isNullable(nullable) { break }
      }
    case .choice(let options): for option in options { option.collectFirst(nullable, into: &result) }
    case .repetition(let body, _, let atMost):
      if atMost != 0 { body.collectFirst(nullable, into: &result) }
    case .rule(let index): result.append(index)
    }
  }
}
