import Basics
import Foundation
import Tokenizers

/// Null, numbers and strings.
extension JSONSchemaCompiler {
  static let digit = GrammarNode.scalars(ScalarSet([0x30...0x39]))
  static let highDigit = GrammarNode.scalars(ScalarSet([0x31...0x39]))

  mutating func once(_ kind: SharedRule, _ name: String, _ make: () -> GrammarNode) -> GrammarNode {
    if let index = shared[kind] { return .rule(index) }
    shared[kind] = rules.count
    let node = make()
    return addRule(name, node)
  }

  /// Digits of a whole number at most; with exponents below 100 every number fits a double.
  private static let mostDigits = 200

  private static var whole: GrammarNode {
    let rest = GrammarNode.repetition(digit, atLeast: 0, atMost: mostDigits - 1)
    return .choice([.text("0"), .sequence([highDigit, rest])])
  }

  mutating func number() -> GrammarNode {
    once(.number, "number") {
      let digits = GrammarNode.repetition(JSONSchemaCompiler.digit, atLeast: 1, atMost: nil)
      let exponent = GrammarNode.repetition(JSONSchemaCompiler.digit, atLeast: 1, atMost: 2)
      let sign = GrammarNode.optional(.scalars(ScalarSet(of: "+-")))
      return .sequence([
        .optional(.text("-")), JSONSchemaCompiler.whole,
        .optional(.sequence([.text("."), digits])),
        .optional(.sequence([.scalars(ScalarSet(of: "eE")), sign, exponent])),
      ])
    }
  }

  // MARK: Integers

  mutating func integer(_ schema: JSONValue, at path: String) throws -> GrammarNode {
    var low: Int?
    var high: Int?
    for (name, isLow, step) in [
      ("minimum", true, 0), ("exclusiveMinimum", true, 1), ("maximum", false, 0),
      ("exclusiveMaximum", false, -1),
    ] {
      guard let value = schema[name] else { continue }
      guard case .number(let bound) = value else {
        throw malformed("a number is needed", at: "\(path)/\(name)")
      }
      let rounded = isLow ? bound.rounded(.up) : bound.rounded(.down)
      guard abs(rounded) < 0x1p53 else {
        throw unsupported("a bound beyond 2^53", at: "\(path)/\(name)")
      }
      let limit = Int(rounded) + (rounded == bound ? step : 0)
      if isLow { low = max(low ?? limit, limit) } else { high = min(high ?? limit, limit) }
    }
    if low == nil, high == nil {
      return once(.integer, "integer") {
        .sequence([.optional(.text("-")), JSONSchemaCompiler.whole])
      }
    }
    if let low, let high, low > high { throw malformed("no integer is within the bounds", at: path) }
    var options: [GrammarNode] = []
    if low ?? -1 < 0 {
      let negative = JSONSchemaCompiler.naturals(from: max(1, -(high ?? -1)), to: low.map { -$0 })
      options.append(.sequence([.text("-"), negative]))
    }
    if low ?? 0 <= 0, high ?? 0 >= 0 { options.append(.text("0")) }
    if high ?? 1 > 0 { options.append(JSONSchemaCompiler.naturals(from: max(1, low ?? 1), to: high)) }
    return .choice(options)
  }

  /// The numbers from `low`, at least 1, to `high`.
  static func naturals(from low: Int, to high: Int?) -> GrammarNode {
    let digits = { (number: Int) in Array(String(number).utf8).map { $0 - 0x30 } }
    let first = digits(low)
    var options: [GrammarNode] = []
    let last = high.map(digits)
    for length in first.count...max(first.count, last?.count ?? 0) {
      let from = length == first.count ? first : [1] + [UInt8](repeating: 0, count: length - 1)
      let to = length == last?.count ? last ?? [] : [UInt8](repeating: 9, count: length)
      options.append(digitRange(from[...], to[...]))
    }
    if last == nil {
      options.append(
        .sequence([highDigit, .repetition(digit, atLeast: first.count, atMost: mostDigits - 1)]))
    }
    return .choice(options)
  }

  /// The digit strings of one length from `low` to `high`.
  private static func digitRange(_ low: ArraySlice<UInt8>, _ high: ArraySlice<UInt8>) -> GrammarNode {
    guard let first = low.first, let last = high.first else { return .empty }
    let rest = low.count - 1
    let one = { (digit: UInt8) in GrammarNode.literal([0x30 + digit]) }
    if first == last {
      return .sequence([one(first), digitRange(low.dropFirst(), high.dropFirst())])
    }
    guard first < last else { return .choice([]) }
    var options: [GrammarNode] = [
      .sequence([one(first), digitRange(low.dropFirst(), [UInt8](repeating: 9, count: rest)[...])]),
      .sequence([one(last), digitRange([UInt8](repeating: 0, count: rest)[...], high.dropFirst())]),
    ]
    if first + 1 < last {
      let middle = ScalarSet([UInt32(0x31 + first)...UInt32(0x2F + last)])
      options.append(.sequence([.scalars(middle), .repetition(digit, atLeast: rest, atMost: rest)]))
    }
    return .choice(options)
  }

  // MARK: Strings

  /// One character of a JSON string out of a set.
  mutating func character(_ set: ScalarSet) -> GrammarNode {
    let escaped = ScalarSet([0...0x1F, 0x22...0x22, 0x5C...0x5C])
    let special = set.intersection(escaped)
    if special.isEmpty { return .scalars(set) }
    return once(.characters(set), "character") {
      var options = [GrammarNode.scalars(set.subtracting(escaped))]
      for scalar in special.ranges.joined() { options.append(.text(JSONValue.escape(scalar))) }
      return .choice(options)
    }
  }

  static func quoted(_ body: GrammarNode) -> GrammarNode {
    .sequence([.text("\""), body, .text("\"")])
  }

  mutating func anyString() -> GrammarNode {
    let character = self.character(.all)
    return once(.string, "string") { JSONSchemaCompiler.quoted(.zeroOrMore(character)) }
  }

  mutating func string(_ schema: JSONValue, at path: String) throws -> GrammarNode {
    let given = ["pattern", "format", "minLength", "maxLength"].filter { schema[$0] != nil }
    if given.count > 1, given != ["minLength", "maxLength"] {
      throw unsupported("\(given[0]) together with \(given[1])", at: "\(path)/\(given[1])")
    }
    if let pattern = schema["pattern"] {
      guard let pattern = pattern.asString else { throw malformed("not a text", at: path + "/pattern") }
      return JSONSchemaCompiler.quoted(try search(pattern, at: path + "/pattern"))
    }
    if let format = schema["format"] {
      guard let name = format.asString, let pattern = JSONSchemaCompiler.formats[name] else {
        let known = JSONSchemaCompiler.formats.keys.sorted().joined(separator: ", ")
        throw unsupported("another format than \(known)", at: path + "/format")
      }
      return JSONSchemaCompiler.quoted(try search("^(\(pattern))$", at: path + "/format"))
    }
    let least = try count("minLength", schema, at: path)
    let most = try count("maxLength", schema, at: path)
    guard least != nil || most != nil else { return anyString() }
    if let most, most < least ?? 0 { throw malformed("no length is within the bounds", at: path) }
    return JSONSchemaCompiler.quoted(.repetition(character(.all), atLeast: least ?? 0, atMost: most))
  }

  private mutating func search(_ pattern: String, at path: String) throws -> GrammarNode {
    // The parser cannot change the compiler's rules while it runs, so it works on a copy that is taken over.
    let box = CompilerBox(self)
    do {
      var parser = try RegexParser(pattern, leaf: { box.compiler.character($0) })
      let node = try parser.parseSearch()
      self = box.compiler
      return node
    } catch let error as RetortError {
      throw RetortError(
        error.code, error.message, field: path, position: error.position, remedy: error.remedy)
    }
  }

  private final class CompilerBox {
    var compiler: JSONSchemaCompiler
    init(_ compiler: JSONSchemaCompiler) { self.compiler = compiler }
  }

  /// A keyword that counts.
  func count(_ name: String, _ schema: JSONValue, at path: String) throws -> Int? {
    guard let value = schema[name] else { return nil }
    guard case .number(let number) = value, number >= 0, number == number.rounded(),
      number <= Double(Grammar.largestCount)
    else { throw malformed("a count up to \(Grammar.largestCount) is needed", at: "\(path)/\(name)") }
    return Int(number)
  }

  /// Formats as expressions: RFC 3339 for times (leap seconds left out), RFC 4122, RFC 2673, a plain address.
  static let formats: [String: String] = {
    let leap = "(\\d\\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
    let days =
      "(0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|02-(0[1-9]|1\\d|2[0-8])"
    let date =
      "(000[1-9]|00[1-9]\\d|0[1-9]\\d\\d|[1-9]\\d{3})-(\(days))|\(leap.replacing("00)", with: "00)"))-02-29"
    let clock = "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?"
    let time = "\(clock)(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)"
    let byte = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
    return [
      "date": date, "time": time, "date-time": "(\(date))T\(time)",
      "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
      "ipv4": "\(byte)(\\.\(byte)){3}",
      "email":
        "[A-Za-z0-9_+-]+(\\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9]+(-[A-Za-z0-9]+)*(\\.[A-Za-z0-9]+(-[A-Za-z0-9]+)*)+",
    ]
  }()
}

extension JSONValue {
  /// The value in the compiler's layout.
  var jsonText: String {
    switch self {
    case .null: "null"
    case .bool(let value): value ? "true" : "false"
    case .number(let value): Int(exactly: value).map(String.init) ?? "\(value)"
    case .string(let text): JSONValue.quote(text)
    case .array(let values): "[" + values.map(\.jsonText).joined(separator: ", ") + "]"
    case .object(let members):
      "{" + members.map { JSONValue.quote($0.key) + ": " + $0.value.jsonText }.joined(separator: ", ") + "}"
    }
  }

  /// The name of the value's type.
  var jsonType: String {
    switch self {
    case .null: "null"
    case .bool: "boolean"
    case .number: "number"
    case .string: "string"
    case .array: "array"
    case .object: "object"
    }
  }

  static func quote(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      if scalar.value < 0x20 || scalar == "\"" || scalar == "\\" {
        result += escape(scalar.value)
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  /// The escape of a character that may not stand for itself in a string.
  static func escape(_ scalar: UInt32) -> String {
    switch scalar {
    case 0x08: return "\\b"
    case 0x09: return "\\t"
    case 0x0A: return "\\n"
    case 0x0C: return "\\f"
    case 0x0D: return "\\r"
    case 0x22: return "\\\""
    case 0x5C: return "\\\\"
    default:
      let hex = String(scalar, radix: 16)
      return "\\u" + String(repeating: "0", count: max(0, 4 - hex.count)) + hex
    }
  }
}
