import Basics
import Foundation
import Testing

@testable import Tokenizers

struct HuggingFaceParityTests {
  @Test(arguments: Fixture.kinds) func encodingEqualsHuggingFace(_ kind: PreTokenizer) throws {
    let tokenizer = try Fixture.tokenizer(kind)
    #expect(tokenizer.preTokenizer == kind)
    let cases = try Fixture.cases(kind).encode
    #expect(cases.count >= 200)
    for sample in cases {
      #expect(tokenizer.encode(sample.text) == sample.ids, "\(sample.text.debugDescription)")
      #expect(
        tokenizer.encode(sample.text, parseSpecial: false) == sample.literal ?? sample.ids,
        "\(sample.text.debugDescription)")
    }
  }

  @Test(arguments: Fixture.kinds) func decodingEqualsHuggingFace(_ kind: PreTokenizer) throws {
    let tokenizer = try Fixture.tokenizer(kind)
    let cases = try Fixture.cases(kind)
    for sample in cases.encode {
      let text = tokenizer.decode(sample.ids, skipSpecial: false)
      #expect(Fixture.areSame(text, sample.decoded ?? sample.text), "\(sample.text.debugDescription)")
    }
    for sample in cases.decode {
      #expect(Fixture.areSame(tokenizer.decode(sample.ids, skipSpecial: true), sample.text), "\(sample.ids)")
    }
  }

  @Test(arguments: Fixture.kinds) func streamedTextJoinsToTheDecodedText(_ kind: PreTokenizer) throws {
    let tokenizer = try Fixture.tokenizer(kind)
    let cases = try Fixture.cases(kind)
    for ids in cases.decode.map(\.ids) + cases.encode.map(\.ids) {
      var stream = StreamingDetokenizer(tokenizer)
      var text = ids.reduce("") { $0 + stream.append($1) }
      text += stream.finish()
      #expect(Fixture.areSame(text, tokenizer.decode(ids, skipSpecial: true)), "\(ids)")
    }
  }

  @Test(arguments: Fixture.kinds) func beginTokenIsAddedWhereTheVocabularyAsksForIt(_ kind: PreTokenizer)
    throws
  {
    let tokenizer = try Fixture.tokenizer(kind)
    #expect(tokenizer.encode("hi", addSpecial: true) == (try Fixture.cases(kind).begin))
  }

  @Test func characterClassesEqualHuggingFaces() throws {
    let data = try Data(contentsOf: Fixture.root.appending(path: "classes.json"))
    let ranges = try JSONDecoder().decode([String: [[UInt32]]].self, from: data)
    let masks = [
      "letter": CharacterClasses.letter, "number": CharacterClasses.number, "space": CharacterClasses.space,
      "digit": CharacterClasses.digit,
    ]
    for (name, mask) in masks {
      let expected = try #require(ranges[name])
      var found: [[UInt32]] = []
      for value in UInt32(0)...0x10FFFF where CharacterClasses.shared.bits(value) & mask != 0 {
        if let last = found.last, last[1] == value - 1 {
          found[found.count - 1][1] = value
        } else {
          found.append([value, value])
        }
      }
      #expect(found == expected, "\(name)")
    }
  }
}
