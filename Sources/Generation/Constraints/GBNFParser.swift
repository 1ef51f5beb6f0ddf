import Basics

/// Reads the GBNF text of a grammar.
///
/// A rule is `name ::= alternatives`; it goes on over line ends until the next `name ::=`. An element is a string,
/// a class, `.`, a rule's name or a group, each with an optional `?`, `*`, `+`, `{m}`, `{m,}` or `{m,n}`; `#`
/// begins a comment.
struct GBNFParser {
  private let scalars: [Unicode.Scalar]
  /// Where each line begins.
  private let lineStarts: [Int]
  private var offset = 0
  private var depth = 0
  private var rules: [GrammarRule] = []
  private var indices: [String: Int] = [:]
  private var defined: [Bool] = []
  /// Where each rule is first referred to.
  private var uses: [Int] = []
  private var currentRule: String?

  init(_ text: String) throws {
    guard text.utf8.count <= Grammar.longestText else {
      throw RetortError(
        .malformedFile, "the grammar is \(text.utf8.count) bytes long", remedy: "Write a shorter grammar.")
    }
    let scalars = Array(text.unicodeScalars)
    lineStarts = [0] + scalars.indices.filter { scalars[$0] == "\n" }.map { $0 + 1 }
    self.scalars = scalars
  }

  /// The rules and the index of `root`.
  mutating func parse() throws -> (rules: [GrammarRule], root: Int) {
    skipSpace()
    while offset < scalars.count { try rule() }
    currentRule = nil
    for index in rules.indices where !defined[index] {
      throw error(
        "the rule \(rules[index].name) is not defined", at: uses[index],
        remedy: "Add a line \"\(rules[index].name) ::= …\", or correct the name.")
    }
    guard let root = indices["root"] else {
      throw RetortError(
        .malformedFile, "the grammar has no rule named root", field: "root",
        remedy: "Name the rule of the whole text \"root\": root ::= …")
    }
    return (rules, root)
  }

  private mutating func rule() throws {
    let start = offset
    guard let name = takeName() else {
      throw error(
        "a rule's name is missing", at: start, remedy: "Begin each rule with \"name ::=\".")
    }
    currentRule = name
    skipSpace()
    guard takeDefinition() else {
      throw error("\"::=\" is missing after \(name)", remedy: "Write \"\(name) ::= …\".")
    }
    let index = self.index(of: name, at: start)
    guard !defined[index] else {
      throw error(
        "the rule \(name) is defined twice", at: start, remedy: "Join both with \"|\", or rename one.")
    }
    defined[index] = true
    rules[index].position = place(start)
    rules[index].node = try alternatives()
    guard offset < scalars.count else { return }
    guard isAtRule() else { throw unexpected() }
  }

  private mutating func alternatives() throws -> GrammarNode {
    var options: [GrammarNode] = []
    repeat {
      options.append(try sequence())
    } while take("|")
    return options.count == 1 ? options[0] : .choice(options)
  }

  private mutating func sequence() throws -> GrammarNode {
    var parts: [GrammarNode] = []
    skipSpace()
    while offset < scalars.count, scalars[offset] != "|", scalars[offset] != ")", !isAtRule() {
      let part = try element()
      skipSpace()
      parts.append(try repeated(part))
      skipSpace()
    }
    return parts.count == 1 ? parts[0] : .sequence(parts)
  }

  private mutating func element() throws -> GrammarNode {
    let start = offset
    switch scalars[offset] {
    case "\"": return try string()
    case "[": return try characterClass()
    case ".":
      offset += 1
      return .scalars(.all)
    case "(":
      depth += 1
      defer { depth -= 1 }
      guard depth <= Grammar.deepestNesting else {
        throw error(
          "groups are nested more than \(Grammar.deepestNesting) deep",
          remedy: "Give inner groups names of their own.")
      }
      offset += 1
      let group = try alternatives()
      guard take(")") else {
        throw error("a group does not end", at: start, remedy: "Close it with \")\".")
      }
      return group
    default:
      guard let name = takeName() else { throw unexpected() }
      return .rule(index(of: name, at: start))
    }
  }

  // MARK: Repetition

  private mutating func repeated(_ part: GrammarNode) throws -> GrammarNode {
    var result = part
    var layers = 0
    while offset < scalars.count {
      switch scalars[offset] {
      case "?": result = .optional(result)
      case "*": result = .zeroOrMore(result)
      case "+": result = .repetition(result, atLeast: 1, atMost: nil)
      case "{":
        let (atLeast, atMost) = try counts()
        result = .repetition(result, atLeast: atLeast, atMost: atMost)
        offset -= 1
      default: return result
      }
      offset += 1
      layers += 1
      guard layers + depth <= Grammar.deepestNesting else {
        throw error("too many repetitions on one element", remedy: "Leave one of them.")
      }
      skipSpace()
    }
    return result
  }

  /// Reads `{m}`, `{m,}` or `{m,n}`.
  private mutating func counts() throws -> (Int, Int?) {
    let start = offset
    offset += 1
    skipSpace()
    guard let atLeast = try number() else {
      throw error("a repetition has no count", at: start, remedy: "Write {m}, {m,} or {m,n}.")
    }
    skipSpace()
    var atMost: Int? = atLeast
    if take(",") {
      skipSpace()
      atMost = try number()
      skipSpace()
    }
    guard take("}") else {
      throw error("a repetition does not end", at: start, remedy: "Write {m}, {m,} or {m,n}.")
    }
    if let atMost, atMost < atLeast {
      throw error("{\(atLeast),\(atMost)} ends before it begins", at: start, remedy: "Swap the counts.")
    }
    return (atLeast, atMost)
  }

  private mutating func number() throws -> Int? {
    let start = offset
    var value = 0
    while offset < scalars.count, ("0"..."9").contains(scalars[offset]) {
      value = min(Grammar.largestCount + 1, value * 10 + Int(scalars[offset].value - 0x30))
      offset += 1
    }
    guard value <= Grammar.largestCount else {
      throw error(
        "a repetition of more than \(Grammar.largestCount)", at: start,
        remedy: "Write at most {\(Grammar.largestCount)}, or no upper count: {m,}.")
    }
    return offset > start ? value : nil
  }

  // MARK: Strings and classes

  private mutating func string() throws -> GrammarNode {
    let start = offset
    offset += 1
    var bytes: [UInt8] = []
    while offset < scalars.count, scalars[offset] != "\"" { bytes += ScalarSet.utf8(try character()) }
    guard take("\"") else { throw error("a string does not end", at: start, remedy: "Close it with '\"'.") }
    return .literal(bytes)
  }

  private mutating func characterClass() throws -> GrammarNode {
    let start = offset
    offset += 1
    let isNegated = take("^")
    var ranges: [ClosedRange<UInt32>] = []
    while offset < scalars.count, scalars[offset] != "]" {
      let from = offset
      let low = try character()
      var high = low
      if offset + 1 < scalars.count, scalars[offset] == "-", scalars[offset + 1] != "]" {
        offset += 1
        high = try character()
      }
      guard low <= high else {
        throw error("a range ends before it begins", at: from, remedy: "Swap its ends.")
      }
      ranges.append(low...high)
    }
    guard take("]") else { throw error("a class does not end", at: start, remedy: "Close it with \"]\".") }
    let set = ScalarSet(ranges)
    return .scalars(isNegated ? set.inverted : set)
  }

  /// Reads a character of a string or class, which may be escaped.
  private mutating func character() throws -> UInt32 {
    let start = offset
    let scalar = scalars[offset]
    offset += 1
    guard scalar == "\\", offset < scalars.count else { return scalar.value }
    let escape = scalars[offset]
    offset += 1
    switch escape {
    case "n": return 0x0A
    case "r": return 0x0D
    case "t": return 0x09
    case "\\", "\"", "[", "]", "-", "^", "/", "'": return escape.value
    case "x": return try hex(2, from: start)
    case "u": return try hex(4, from: start)
    case "U": return try hex(8, from: start)
    default:
      throw error(
        "unknown escape \\\(escape)", at: start,
        remedy: "Known are \\n \\r \\t \\\\ \\\" \\[ \\] \\- \\^ \\xHH \\uHHHH \\UHHHHHHHH.")
    }
  }

  private mutating func hex(_ digits: Int, from start: Int) throws -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<digits {
      guard offset < scalars.count, scalars[offset].isASCII,
        let digit = Character(scalars[offset]).hexDigitValue
      else {
        throw error(
          "an escape needs \(digits) hexadecimal digits", at: start, remedy: "Write all of its digits.")
      }
      value = value << 4 | UInt32(digit)
      offset += 1
    }
    guard Unicode.Scalar(value) != nil else {
      throw error("the escape is not a Unicode scalar", at: start, remedy: "Write a code up to 10FFFF.")
    }
    return value
  }

  // MARK: Names and space

  private mutating func index(of name: String, at use: Int) -> Int {
    if let index = indices[name] { return index }
    indices[name] = rules.count
    rules.append(GrammarRule(name: name, node: .empty))
    defined.append(false)
    uses.append(use)
    return rules.count - 1
  }

  private static func isName(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "a"..."z", "A"..."Z", "0"..."9", "-", "_": true
    default: false
    }
  }

  private mutating func takeName() -> String? {
    var end = offset
    while end < scalars.count, end - offset < 256, GBNFParser.isName(scalars[end]) { end += 1 }
    guard end > offset else { return nil }
    defer { offset = end }
    return String(String.UnicodeScalarView(scalars[offset..<end]))
  }

  /// Whether `name ::=` follows.
  private func isAtRule() -> Bool {
    guard GBNFParser.isName(scalars[offset]) else { return false }
    var ahead = self
    _ = ahead.takeName()
    ahead.skipSpace()
    return ahead.takeDefinition()
  }

  private mutating func takeDefinition() -> Bool {
    guard offset + 2 < scalars.count, scalars[offset] == ":", scalars[offset + 1] == ":",
      scalars[offset + 2] == "="
    else { return false }
    offset += 3
    return true
  }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard offset < scalars.count, scalars[offset] == scalar else { return false }
    offset += 1
    return true
  }

  private mutating func skipSpace() {
    while offset < scalars.count {
      switch scalars[offset] {
      case " ", "\t", "\n", "\r", "\u{FEFF}": offset += 1
      case "#": while offset < scalars.count, scalars[offset] != "\n" { offset += 1 }
      default: return
      }
    }
  }

  // MARK: Errors

  private func place(_ offset: Int) -> String {
    // The last line that begins at or before the offset.
    var line = 0
    var end = lineStarts.count
    while line + 1 < end {
      let middle = (line + end) / 2
      if lineStarts[middle] <= offset { line = middle } else { end = middle }
    }
    return "line \(line + 1), column \(offset - lineStarts[line] + 1)"
  }

  private func unexpected() -> RetortError {
    guard offset < scalars.count else {
      return error("the grammar ends in the middle of a rule", remedy: "Complete the rule.")
    }
    return error(
      "unexpected \"\(scalars[offset])\"",
      remedy: "Expected is a string, a class, a rule's name, a group, \"|\" or the next rule.")
  }

  private func error(_ message: String, at offset: Int? = nil, remedy: String) -> RetortError {
    RetortError(
      .malformedFile, message, field: currentRule, position: place(offset ?? self.offset), remedy: remedy)
  }
}
