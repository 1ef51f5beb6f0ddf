import Foundation
import Testing

@testable import Relevance

@Suite struct JSONTests {
  private func parse(_ text: String) throws -> JSONValue { try JSONValue.parse(Array(text.utf8)) }

  @Test func valuesOfEveryKindParse() throws {
    #expect(
      try parse(#" {"a": [1, -2.5e+3, true, false, null], "b": {"c": "d"}, "e": [], "f": {}} "#)
        == .object([
          "a": .array([.number("1"), .number("-2.5e+3"), .bool(true), .bool(false), .null]),
          "b": .object(["c": .string("d")]), "e": .array([]), "f": .object([:]),
        ]))
    #expect(try parse("123456789012345678901234567890") == .number("123456789012345678901234567890"))
    #expect(try parse(#"{"a": 1, "a": 2}"#) == .object(["a": .number("2")]))
  }

  @Test func escapesParse() throws {
    #expect(try parse(#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#) == .string("\"\\/\u{8}\u{c}\n\r\té😀"))
  }

  @Test(arguments: [
    "", " ", "{", "[", "[1", "[1,", "[1,]", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,}", "{a:1}", "01", "-",
    "1.", ".5", "1e", "+1", "tru", "nul", "truex", "\"a", "\"a\\", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"",
    "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\u{1}\"", "1 2", "{} {}", "[1 2]", "NaN", "'a'", "]", "}",
  ])
  func brokenTextIsRefused(text: String) {
    #expect(throws: JSONProblem.self) { try parse(text) }
  }

  @Test func deepNestingIsRefused() throws {
    #expect(throws: JSONProblem.self) { try parse(String(repeating: "[", count: 100_000)) }
    let allowed = String(repeating: "[", count: 60) + String(repeating: "]", count: 60)
    _ = try parse(allowed)
  }

  @Test func invalidUTF8InAStringIsRefused() {
    #expect(throws: JSONProblem.self) { try JSONValue.parse([0x22, 0xFF, 0x22]) }
  }

  @Test func anyMutationParsesOrThrows() throws {
    var draw = Draw(seed: 11)
    let seed = Array(#"{"pair_id": "a\u00e9", "n": [-1.5e3, true, null], "q": {"x": "\ud83d\ude00"}}"#.utf8)
    var refused = 0
    for _ in 0..<5000 {
      var bytes = seed
      for _ in 0..<Int.random(in: 1...4, using: &draw) {
        bytes[Int.random(in: 0..<bytes.count, using: &draw)] = UInt8.random(in: 0...255, using: &draw)
      }
      if Bool.random(using: &draw) { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &draw)) }
      if (try? JSONValue.parse(bytes)) == nil { refused += 1 }
    }
    #expect(refused > 3000)
  }

  @Test func writerEscapesWhatEndsALine() throws {
    var writer = JSONWriter()
    let text = "a\"\\/\n\r\t\u{0}\u{1f}\u{7f}\u{85}\u{2028}\u{2029}é😀"
    writer.object { $0.field("k", text) }
    #expect(
      writer.text
        == #"{"k":"a\"\\/\n\r\t\u0000\u001f\u007f\u0085\u2028\u2029é😀"}"#)
    #expect(try foundationObject(writer.text)["k"] as? String == text)
    #expect(try parse(writer.text) == .object(["k": .string(text)]))
  }

  @Test func writtenNumbersReadBackExactly() throws {
    var draw = Draw(seed: 5)
    var values = [0, -0.0, 1, 0.1, 1e-7, Double.leastNonzeroMagnitude, 1.7976931348623157e308, 1.0 / 3]
    for _ in 0..<500 {
      let value = Double(bitPattern: draw.next())
      if value.isFinite { values.append(value) }
    }
    for value in values {
      var writer = JSONWriter()
      writer.object { $0.field("v", value) }
      guard case .object(let fields) = try parse(writer.text), case .number(let digits)? = fields["v"] else {
        Issue.record("\(writer.text) is not an object with a number")
        continue
      }
      #expect(Double(digits)?.bitPattern == value.bitPattern)
    }
  }

  @Test func numbersThatJSONLacksAreWrittenAsNull() {
    var writer = JSONWriter()
    writer.object { $0.field("v", Double.nan) }
    #expect(writer.text == #"{"v":null}"#)
  }

  /// Known answers of FIPS 180-4 and NIST's example file.
  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    (
      String(repeating: "a", count: 1_000), "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3"
    ),
  ])
  func sha256GivesKnownAnswers(text: String, digest: String) {
    #expect(SHA256.hex(text) == digest)
  }
}
