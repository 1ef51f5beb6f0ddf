import Basics
import Foundation
import Testing

@testable import Tokenizers

struct MutationTests {
  /// A small deterministic generator (SplitMix64).
  private struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      return ByteHash.mix(state)
    }
  }

  @Test(arguments: Fixture.kinds) func mutatedFilesLoadOrThrowTypedErrors(_ kind: PreTokenizer) throws {
    let original = try Fixture.json(kind)
    var generator = Generator(state: 1)
    var refused = 0
    for round in 0..<1000 {
      let mutated = mutate(original, round, &generator)
      do {
        let tokenizer = try load(mutated)
        let ids = tokenizer.encode("Don't <|im_end|> naïve 12345 日本\r\n  x")
        #expect(ids.allSatisfy { $0 >= 0 && $0 < tokenizer.vocabularySize })
        _ = tokenizer.decode(ids, skipSpecial: false)
      } catch let error as RetortError {
        refused += 1
        #expect([.malformedFile, .unsupported].contains(error.code), "\(error)")
      }
    }
    #expect(refused > 300)
  }

  private func mutate(_ original: [UInt8], _ round: Int, _ generator: inout Generator) -> [UInt8] {
    var bytes = original
    let place = Int.random(in: 0..<bytes.count, using: &generator)
    switch round % 6 {
    case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
    case 1: bytes.removeLast(bytes.count - place)
    case 2:
      // A whole token of the JSON goes.
      let end = bytes[place...].firstIndex { $0 == 0x2C } ?? place
      bytes.removeSubrange(place...max(place, end))
    case 3:
      for (i, value) in bytes.enumerated() where i > place && (0x30...0x39).contains(value) {
        bytes.replaceSubrange(
          i...i,
          with: ["99999999999", "-1", "2147483647", "1e9", "null", "7"].randomElement(using: &generator)!.utf8
        )
        break
      }
    case 4: swapValues(&bytes, place, &generator)
    default:
      let words = [
        "true", "false", "null", "ByteLevel", "vocab", "merges", "special", "BPE", "Regex", "content",
      ]
      replace(&bytes, words[round / 6 % words.count], words.randomElement(using: &generator)!, from: place)
    }
    return bytes
  }

  /// Exchanges two stretches that end at commas: members and elements change places.
  private func swapValues(_ bytes: inout [UInt8], _ place: Int, _ generator: inout Generator) {
    let commas = bytes.indices.filter { bytes[$0] == 0x2C }
    let i = Int.random(in: 0..<(commas.count - 3), using: &generator)
    let j = Int.random(in: (i + 1)..<(commas.count - 1), using: &generator)
    guard j > i + 1 else { return }
    let first = Array(bytes[commas[i]..<commas[i + 1]])
    let second = Array(bytes[commas[j]..<commas[j + 1]])
    bytes.replaceSubrange(commas[j]..<commas[j + 1], with: first)
    bytes.replaceSubrange(commas[i]..<commas[i + 1], with: second)
  }

  private func replace(_ bytes: inout [UInt8], _ word: String, _ other: String, from place: Int) {
    let text = String(decoding: bytes, as: UTF8.self)
    let ranges = text.ranges(of: word)
    guard !ranges.isEmpty else { return }
    bytes = Array(text.replacingCharacters(in: ranges[place % ranges.count], with: other).utf8)
  }
}
