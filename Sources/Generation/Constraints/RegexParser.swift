import Basics

/// Reads a regular expression of ECMA 262's syntax, without what a finite automaton cannot do.
///
/// Supported: classes, `.`, `\d \w \s` and their complements (ASCII but for `\s`, as in ECMA), groups, alternation,
/// `* + ? {m} {m,} {m,n}` (lazy ones mean the same), `\t \n \r \v \f \0 \xHH \uHHHH \u{…}`. `^` and `$` may stand
/// at the ends of the whole expression or of its alternatives.
struct RegexParser {
  /// An alternative of the whole expression.
  private struct Branch {
    var node: GrammarNode
    var hasStart = false
    var hasEnd = false
  }

  private let scalars: [Unicode.Scalar]
  private let leaf: (ScalarSet) -> GrammarNode
  private var offset = 0
  private var depth = 0

  /// Prepares to parse.
  ///
  /// - Parameter leaf: what a character of a set becomes; by default, itself.
  init(_ text: String, leaf: @escaping (ScalarSet) -> GrammarNode = { .scalars($0) }) throws {
    guard text.utf8.count <= Grammar.longestText else {
      throw RetortError(
        .malformedFile, "the expression is \(text.utf8.count) bytes long", field: "regex",
        remedy: "Write a shorter expression.")
    }
    scalars = Array(text.unicodeScalars)
    self.leaf = leaf
  }

  /// The expression that the whole text must match.
  mutating func parse() throws -> GrammarNode {
    .choice(try branches().map(\.node))
  }

  /// The texts that contain a match, as JSON Schema's `pattern` means it.
  mutating func parseSearch() throws -> GrammarNode {
    let anything = GrammarNode.zeroOrMore(leaf(.all))
    return .choice(
      try branches().map { branch in
        .sequence(
          (branch.hasStart ? [] : [anything]) + [branch.node] + (branch.hasEnd ? [] : [anything]))
      })
  }

  private mutating func branches() throws -> [Branch] {
    var result: [Branch] = []
    repeat {
      let hasStart = take("^")
      let node = try alternative()
      result.append(Branch(node: node, hasStart: hasStart, hasEnd: take("$")))
      if let next = current, next != "|" {
        throw next == ")"
          ? error("a \")\" without its \"(\"", remedy: "Write \"\\)\" for the character.")
          : error(
            "\"$\" in the middle", remedy: "Anchors may stand at the ends only; write \"\\$\" for a dollar.")
      }
    } while take("|")
    return result
  }

  private var current: Unicode.Scalar? { offset < scalars.count ? scalars[offset] : nil }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard current == scalar else { return false }
    offset += 1
    return true
  }

  private mutating func alternative() throws -> GrammarNode {
    var parts: [GrammarNode] = []
    while let next = current, next != "|", next != ")", next != "$" {
      parts.append(try quantified(try atom()))
    }
    return parts.count == 1 ? parts[0] : .sequence(parts)
  }

  private mutating func atom() throws -> GrammarNode {
    let start = offset
    let scalar = scalars[offset]
    offset += 1
    switch scalar {
    case ".": return leaf(RegexParser.dot)
    case "[": return leaf(try characterClass(from: start))
    case "\\": return leaf(try escape(from: start, inClass: false))
    case "(": return try group(from: start)
    case "^":
      throw error(
        "\"^\" in the middle", at: start, remedy: "Anchors may stand at the ends only; write \"\\^\".")
    case "*", "+", "?":
      throw error(
        "nothing to repeat before \"\(scalar)\"", at: start,
        remedy: "Write \"\\\(scalar)\" for the character.")
    case "{", "}", "]":
      throw error("a bare \"\(scalar)\"", at: start, remedy: "Write \"\\\(scalar)\" for the character.")
    default: return leaf(ScalarSet(scalar.value))
    }
  }

  private mutating func group(from start: Int) throws -> GrammarNode {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Grammar.deepestNesting else {
      throw error(
        "groups are nested more than \(Grammar.deepestNesting) deep", at: start,
        remedy: "Write a flatter expression.")
    }
    if take("?") {
      let isNamed = take("<")
      if isNamed, let next = current, next != "=", next != "!" {
        while let next = current, next != ">" {
          guard RegexParser.word.contains(next.value) else { break }
          offset += 1
        }
        guard take(">") else {
          throw error("a group's name does not end", at: start, remedy: "Write (?<name>…).")
        }
      } else if isNamed || !take(":") {
        throw unsupported("look-around or a flag", at: start)
      }
    }
    var options: [GrammarNode] = []
    repeat { options.append(try alternative()) } while take("|")
    guard take(")") else {
      if current == "$" {
        throw error(
          "\"$\" in a group", remedy: "Anchors may stand at the ends only; write \"\\$\" for a dollar.")
      }
      throw error("a group does not end", at: start, remedy: "Close it with \")\".")
    }
    return options.count == 1 ? options[0] : .choice(options)
  }

  private mutating func quantified(_ node: GrammarNode) throws -> GrammarNode {
    let start = offset
    let result: GrammarNode
    switch current {
    case "*": result = .zeroOrMore(node)
    case "+": result = .repetition(node, atLeast: 1, atMost: nil)
    case "?": result = .optional(node)
    case "{":
      let (atLeast, atMost) = try counts(from: start)
      result = .repetition(node, atLeast: atLeast, atMost: atMost)
      offset -= 1
    default: return node
    }
    offset += 1
    // A lazy repetition matches the same texts.
    _ = take("?")
    return result
  }

  private mutating func counts(from start: Int) throws -> (Int, Int?) {
    offset += 1
    let atLeast = number()
    var atMost = atLeast
    if take(",") { atMost = number() }
    guard let atLeast, take("}") else {
      throw error(
        "a bare \"{\"", at: start, remedy: "Write {m}, {m,} or {m,n}, or \"\\{\" for the character.")
    }
    guard max(atLeast, atMost ?? 0) <= Grammar.largestCount else {
      throw error(
        "a repetition of more than \(Grammar.largestCount)", at: start,
        remedy: "Leave the upper count out: {m,}.")
    }
    if let atMost, atMost < atLeast {
      throw error("{\(atLeast),\(atMost)} ends before it begins", at: start, remedy: "Swap the counts.")
    }
    return (atLeast, atMost)
  }

  private mutating func number() -> Int? {
    let start = offset
    var value = 0
    while let next = current, ("0"..."9").contains(next) {
      value = min(Grammar.largestCount + 1, value * 10 + Int(next.value - 0x30))
      offset += 1
    }
    return offset > start ? value : nil
  }
}

// MARK: - Characters

extension RegexParser {
  private static let digit = ScalarSet([0x30...0x39])
  private static let word = ScalarSet([0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])
  private static let space = ScalarSet([
    0x09...0x0D, 0x20...0x20, 0xA0...0xA0, 0x1680...0x1680, 0x2000...0x200A, 0x2028...0x2029,
    0x202F...0x202F, 0x205F...0x205F, 0x3000...0x3000, 0xFEFF...0xFEFF,
  ])
  private static let dot = ScalarSet([0x0A...0x0A, 0x0D...0x0D, 0x2028...0x2029]).inverted

  private mutating func characterClass(from start: Int) throws -> ScalarSet {
    let isNegated = take("^")
    var result = ScalarSet([])
    var ranges: [ClosedRange<UInt32>] = []
    while let next = current, next != "]" {
      let from = offset
      let low = try classAtom()
      guard current == "-", offset + 1 < scalars.count, scalars[offset + 1] != "]" else {
        low.single.map { ranges.append($0...$0) } ?? { result = result.union(low) }()
        continue
      }
      offset += 1
      let high = try classAtom()
      guard let first = low.single, let last = high.single, first <= last else {
        throw error("not a range", at: from, remedy: "Write the lower character first; \"\\-\" is a dash.")
      }
      ranges.append(first...last)
    }
    guard take("]") else { throw error("a class does not end", at: start, remedy: "Close it with \"]\".") }
    result = result.union(ScalarSet(ranges))
    return isNegated ? result.inverted : result
  }

  private mutating func classAtom() throws -> ScalarSet {
    let start = offset
    guard take("\\") else {
      defer { offset += 1 }
      return current.map { ScalarSet($0.value) } ?? ScalarSet([])
    }
    return try escape(from: start, inClass: true)
  }

  /// Reads an escape after its backslash.
  private mutating func escape(from start: Int, inClass: Bool) throws -> ScalarSet {
    guard let scalar = current else {
      throw error("a backslash at the end", at: start, remedy: "Write \"\\\\\" for the character.")
    }
    offset += 1
    switch scalar {
    case "d": return RegexParser.digit
    case "D": return RegexParser.digit.inverted
    case "w": return RegexParser.word
    case "W": return RegexParser.word.inverted
    case "s": return RegexParser.space
    case "S": return RegexParser.space.inverted
    case "t": return ScalarSet(0x09)
    case "n": return ScalarSet(0x0A)
    case "v": return ScalarSet(0x0B)
    case "f": return ScalarSet(0x0C)
    case "r": return ScalarSet(0x0D)
    case "0": return ScalarSet(0)
    case "b" where inClass: return ScalarSet(0x08)
    case "x": return ScalarSet(try hex(2, from: start))
    case "u":
      guard take("{") else { return ScalarSet(try hex(4, from: start)) }
      let digits = scalars[offset...].prefix(7).prefix { $0 != "}" }.count
      let value = try hex(digits, from: start)
      guard take("}") else { throw error("\\u{…} does not end", at: start, remedy: "Close it with \"}\".") }
      return ScalarSet(value)
    case "1"..."9", "k": throw unsupported("a back-reference", at: start)
    case "b", "B": throw unsupported("a word boundary", at: start)
    case "p", "P": throw unsupported("a Unicode property", at: start)
    case "a"..."z", "A"..."Z":
      throw error("unknown escape \\\(scalar)", at: start, remedy: "Leave the backslash out.")
    default: return ScalarSet(scalar.value)
    }
  }

  private mutating func hex(_ digits: Int, from start: Int) throws -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<digits {
      guard let next = current, next.isASCII, let digit = Character(next).hexDigitValue else {
        throw error("an escape lacks hexadecimal digits", at: start, remedy: "Write all of its digits.")
      }
      value = value << 4 | UInt32(digit)
      offset += 1
    }
    guard digits > 0, Unicode.Scalar(value) != nil else {
      throw error("the escape is not a Unicode scalar", at: start, remedy: "Write a code up to 10FFFF.")
    }
    return value
  }

  private func unsupported(_ what: String, at start: Int) -> RetortError {
    RetortError(
      .unsupported, "the expression has \(what), which no finite automaton can follow", field: "regex",
      position: "character \(start + 1)", remedy: "Write the expression without it.")
  }

  private func error(_ message: String, at start: Int? = nil, remedy: String) -> RetortError {
    RetortError(
      .malformedFile, message, field: "regex", position: "character \((start ?? offset) + 1)", remedy: remedy)
  }
}
