import Basics
import Foundation

/// A strict JSON reader (RFC 8259) for tokenizer files of many megabytes, which Foundation reads slowly.
///
/// It keeps strings apart by their scalars, where a Swift dictionary would join canonically equivalent keys.
package struct JSONParser {
  private static let deepest = 64
  private let bytes: UnsafeBufferPointer<UInt8>
  private var offset = 0
  private var depth = 0

  /// Reads one JSON document.
  ///
  /// - Throws: `malformedFile` with the byte offset.
  package static func parse(_ bytes: UnsafeBufferPointer<UInt8>) throws -> JSONValue {
    var parser = JSONParser(bytes: bytes)
    let value = try parser.value()
    parser.skipSpace()
    guard parser.offset == bytes.count else { throw parser.malformed("something follows the document") }
    return value
  }

  private init(bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

  private var current: UInt8? { offset < bytes.count ? bytes[offset] : nil }

  private mutating func skipSpace() {
    while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { offset += 1 }
  }

  private mutating func value() throws -> JSONValue {
    skipSpace()
    switch current {
    case UInt8(ascii: "{"): return try nested { try $0.object() }
    case UInt8(ascii: "["): return try nested { try $0.array() }
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return try number()
    }
  }

  private mutating func nested(_ body: (inout JSONParser) throws -> JSONValue) throws -> JSONValue {
    depth += 1
    defer { depth -= 1 }
    guard depth <= JSONParser.deepest else { throw malformed("values are nested too deep") }
    offset += 1
    return try body(&self)
  }

  private mutating func object() throws -> JSONValue {
    var members: [JSONValue.Member] = []
    skipSpace()
    if take("}") { return .object(members) }
    repeat {
      skipSpace()
      guard current == UInt8(ascii: "\"") else { throw malformed("a member name is missing") }
      let key = try string()
      skipSpace()
      guard take(":") else { throw malformed("a colon is missing") }
      members.append(JSONValue.Member(key: key, value: try value()))
      skipSpace()
    } while take(",")
    guard take("}") else { throw malformed("an object does not end") }
    return .object(members)
  }

  private mutating func array() throws -> JSONValue {
    var elements: [JSONValue] = []
    skipSpace()
    if take("]") { return .array(elements) }
    repeat {
      elements.append(try value())
      skipSpace()
    } while take(",")
    guard take("]") else { throw malformed("an array does not end") }
    return .array(elements)
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard current == UInt8(ascii: character) else { return false }
    offset += 1
    return true
  }

  private mutating func word(_ word: StaticString, _ value: JSONValue) throws -> JSONValue {
    for i in 0..<word.utf8CodeUnitCount {
      guard current == word.utf8Start[i] else { throw malformed("an unknown word") }
      offset += 1
    }
    return value
  }

  private mutating func number() throws -> JSONValue {
    let start = offset
    while let byte = current, (0x30...0x39).contains(byte) || "+-.eE".utf8.contains(byte) { offset += 1 }
    let text = String(decoding: bytes[start..<offset], as: UTF8.self)
    guard let number = Double(text), number.isFinite else { throw malformed("a value is missing") }
    return .number(number)
  }

  private mutating func string() throws -> String {
    offset += 1
    let start = offset
    while let byte = current, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 {
      offset += 1
    }
    guard current == UInt8(ascii: "\"") else { return try escapedString(from: start) }
    defer { offset += 1 }
    return try text(bytes[start..<offset])
  }

  private mutating func escapedString(from start: Int) throws -> String {
    var result = Array(bytes[start..<offset])
    while let byte = current, byte >= 0x20 {
      offset += 1
      if byte == UInt8(ascii: "\"") { return try text(result[...]) }
      if byte != UInt8(ascii: "\\") {
        result.append(byte)
        continue
      }
      guard let escape = current else { break }
      offset += 1
      switch escape {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(escape)
      case UInt8(ascii: "b"): result.append(0x08)
      case UInt8(ascii: "f"): result.append(0x0C)
      case UInt8(ascii: "n"): result.append(0x0A)
      case UInt8(ascii: "r"): result.append(0x0D)
      case UInt8(ascii: "t"): result.append(0x09)
      case UInt8(ascii: "u"): result.append(contentsOf: try unicodeEscape())
      default: throw malformed("an unknown escape")
      }
    }
    throw malformed("a string does not end")
  }

  /// The UTF-8 of the escape whose digits begin here; a pair of surrogates makes one scalar.
  private mutating func unicodeEscape() throws -> [UInt8] {
    var value = try hexDigits()
    if (0xD800..<0xDC00).contains(value), take("\\"), take("u") {
      let low = try hexDigits()
      guard (0xDC00..<0xE000).contains(low) else { throw malformed("a surrogate without its other half") }
      value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
    }
    guard let scalar = Unicode.Scalar(value) else { throw malformed("a surrogate without its other half") }
    return Array(String(Character(scalar)).utf8)
  }

  private mutating func hexDigits() throws -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = current, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw malformed("an escape needs four hexadecimal digits")
      }
      value = value << 4 | UInt32(digit)
      offset += 1
    }
    return value
  }

  private func text(_ slice: some RandomAccessCollection<UInt8>) throws -> String {
    guard let text = String(validating: slice, as: UTF8.self) else { throw malformed("invalid UTF-8") }
    return text
  }

  private func malformed(_ problem: String) -> RetortError {
    RetortError(
      .malformedFile, "not valid JSON: \(problem)", position: "byte \(offset)",
      remedy: "The file is damaged or incomplete; fetch the model again.")
  }
}
