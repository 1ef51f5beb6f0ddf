/// A JSON value; numbers keep their digits, so that an id of any length stays what it was.
package enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  case number(String)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  /// The kind in words, for error messages.
  package var kind: String {
    switch self {
    case .null: "null"
    case .bool: "true or false"
    case .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }

  /// Parses one JSON text (RFC 8259); of repeated keys the last wins.
  ///
  /// - Throws: ``JSONProblem`` at the first byte that does not fit.
  package static func parse(_ bytes: [UInt8]) throws -> JSONValue {
    var parser = JSONParser(bytes: bytes)
    return try parser.document()
  }
}

/// What is wrong with a JSON text, and at which byte.
package struct JSONProblem: Error, Equatable {
  package let message: String
  package let offset: Int
}

private struct JSONParser {
  /// Deeper nesting than this is refused, so that no input can exhaust the stack.
  static let maximumDepth = 64

  let bytes: [UInt8]
  var position = 0

  init(bytes: [UInt8]) { self.bytes = bytes }

  var current: UInt8? { position < bytes.count ? bytes[position] : nil }

  func problem(_ message: String) -> JSONProblem { JSONProblem(message: message, offset: position) }

  mutating func skipSpace() {
    while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  mutating func document() throws -> JSONValue {
    let result = try value(depth: 0)
    skipSpace()
    guard current == nil else { throw problem("text after the end of the value") }
    return result
  }

  mutating func value(depth: Int) throws -> JSONValue {
    guard depth < JSONParser.maximumDepth else { throw problem("nested too deeply") }
    skipSpace()
    guard let byte = current else { throw problem("the text ends early") }
    switch byte {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return .number(try number())
    }
  }

  mutating func word(_ text: StaticString, _ result: JSONValue) throws -> JSONValue {
    let end = position + text.utf8CodeUnitCount
    let found = text.withUTF8Buffer { end <= bytes.count && bytes[position..<end].elementsEqual($0) }
    guard found else { throw problem("unknown word") }
    position = end
    return result
  }

  mutating func object(depth: Int) throws -> JSONValue {
    position += 1
    var fields: [String: JSONValue] = [:]
    skipSpace()
    if current == UInt8(ascii: "}") {
      position += 1
      return .object(fields)
    }
    while true {
      skipSpace()
      guard current == UInt8(ascii: "\"") else { throw problem("expected a key in quotes") }
      let key = try string()
      skipSpace()
      guard current == UInt8(ascii: ":") else { throw problem("expected a colon after the key") }
      position += 1
      fields[key] = try value(depth: depth + 1)
      if try closes(UInt8(ascii: "}")) { return .object(fields) }
    }
  }

  mutating func array(depth: Int) throws -> JSONValue {
    position += 1
    var items: [JSONValue] = []
    skipSpace()
    if current == UInt8(ascii: "]") {
      position += 1
      return .array(items)
    }
    while true {
      items.append(try value(depth: depth + 1))
      if try closes(UInt8(ascii: "]")) { return .array(items) }
    }
  }

  /// Passes a comma (false) or the closing bracket (true).
  private mutating func closes(_ bracket: UInt8) throws -> Bool {
    skipSpace()
    guard let byte = current else { throw problem("the text ends early") }
    guard byte == bracket || byte == UInt8(ascii: ",") else { throw problem("expected a comma or a bracket") }
    position += 1
    return byte == bracket
  }

  private mutating func digits() -> Int {
    let start = position
    while let byte = current, byte >= 0x30 && byte <= 0x39 { position += 1 }
    return position - start
  }

  mutating func number() throws -> String {
    let start = position
    if current == UInt8(ascii: "-") { position += 1 }
    let leadingZero = current == UInt8(ascii: "0")
    let whole = digits()
    guard whole > 0 else { throw problem("unexpected character") }
    guard !leadingZero || whole == 1 else { throw problem("a number with a leading zero") }
    if current == UInt8(ascii: ".") {
      position += 1
      guard digits() > 0 else { throw problem("a number without digits after the point") }
    }
    if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
      position += 1
      if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { position += 1 }
      guard digits() > 0 else { throw problem("a number without digits in the exponent") }
    }
    return String(decoding: bytes[start..<position], as: UTF8.self)
  }

  mutating func string() throws -> String {
    let start = position
    position += 1
    var content: [UInt8] = []
    while let byte = current {
      switch byte {
      case UInt8(ascii: "\""):
        position += 1
        guard let text = String(validating: content, as: UTF8.self) else {
          throw JSONProblem(message: "a string that is not UTF-8", offset: start)
        }
        return text
      case UInt8(ascii: "\\"):
        position += 1
        try escape(into: &content)
      case 0..<0x20:
        throw problem("a control character in a string")
      default:
        content.append(byte)
        position += 1
      }
    }
    throw JSONProblem(message: "a string without its closing quote", offset: start)
  }

  private mutating func escape(into content: inout [UInt8]) throws {
    guard let byte = current else { throw problem("the text ends early") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): content.append(byte)
    case UInt8(ascii: "b"): content.append(0x08)
    case UInt8(ascii: "f"): content.append(0x0C)
    case UInt8(ascii: "n"): content.append(0x0A)
    case UInt8(ascii: "r"): content.append(0x0D)
    case UInt8(ascii: "t"): content.append(0x09)
    case UInt8(ascii: "u"): content.append(contentsOf: String(Character(try unicodeEscape())).utf8)
    default: throw problem("an unknown escape")
    }
  }

  private mutating func unicodeEscape() throws -> Unicode.Scalar {
    let high = try hexUnit()
    if let scalar = Unicode.Scalar(high) { return scalar }
    guard high < 0xDC00, current == UInt8(ascii: "\\") else { throw problem("half a surrogate pair") }
    position += 1
    guard current == UInt8(ascii: "u") else { throw problem("half a surrogate pair") }
    position += 1
    let low = try hexUnit()
    guard low >= 0xDC00, low <= 0xDFFF,
      let scalar = Unicode.Scalar(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    else { throw problem("half a surrogate pair") }
    return scalar
  }

  private mutating func hexUnit() throws -> UInt32 {
    var unit: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = current, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw problem("expected four hexadecimal digits")
      }
      unit = unit << 4 | UInt32(digit)
      position += 1
    }
    return unit
  }
}
