import Basics
import Foundation
import Testing

@Suite struct JSONTextTests {
  @Test func quotedTextsReadBackAsTheyWere() throws {
    let every = String(String.UnicodeScalarView((0...0x2FF).compactMap(Unicode.Scalar.init)))
    for text in ["", "plain", "a\"b\\c", "\n\r\t\u{8}\u{1F}", "é火😀\u{2028}", "\r\n", "\u{10FFFF}", every] {
      for literal in [JSONText.quoted(text), JSONText.quoted(text, escaping: { $0.value > 0x7E })] {
        let read = try JSONSerialization.jsonObject(with: Data(literal.utf8), options: .fragmentsAllowed)
        let value = try #require(read as? String)
        #expect(value.unicodeScalars.elementsEqual(text.unicodeScalars))
      }
    }
  }

  @Test func onlyWhatMustBeIsEscaped() {
    #expect(JSONText.quoted("a/é\u{7F}\u{2028}") == "\"a/é\u{7F}\u{2028}\"")
    #expect(JSONText.quoted("\u{1}\n\"\\") == #""\u0001\n\"\\""#)
    #expect(JSONText.quoted("\u{85}é", escaping: { $0 == "\u{85}" }) == #""\u0085é""#)
    // Beyond the basic plane four digits are too few; such characters stay.
    #expect(JSONText.quoted("😀", escaping: { _ in true }) == "\"😀\"")
  }
}
