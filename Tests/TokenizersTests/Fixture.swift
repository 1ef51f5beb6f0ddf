import Basics
import Foundation
import Testing

@testable import Tokenizers

/// The fixture folder `tokenizers-bpe`, described in its README.
enum Fixture {
  static let kinds: [PreTokenizer] = [.gpt2, .smollm, .llama3, .qwen2]

  static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/tokenizers-bpe")

  struct Cases: Decodable {
    struct Encode: Decodable {
      var text: String
      var ids: [Int32]
      var literal: [Int32]?
      var decoded: String?
    }
    struct Decode: Decodable {
      var ids: [Int32]
      var text: String
    }
    var encode: [Encode]
    var decode: [Decode]
    var begin: [Int32]
  }

  static func folder(_ kind: PreTokenizer) -> String {
    let names: [PreTokenizer: String] = [
      .gpt2: "gpt2", .smollm: "smollm", .llama3: "llama3", .qwen2: "qwen2",
    ]
    return root.appending(path: names[kind] ?? "").path
  }

  static func tokenizer(_ kind: PreTokenizer) throws -> Tokenizer {
    try Tokenizer(VocabularySpec(huggingFaceFolder: folder(kind)))
  }

  static func json(_ kind: PreTokenizer) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(filePath: folder(kind) + "/tokenizer.json")))
  }

  static func cases(_ kind: PreTokenizer) throws -> Cases {
    try JSONDecoder().decode(
      Cases.self, from: Data(contentsOf: URL(filePath: folder(kind) + "/cases.json")))
  }

  /// Whether two texts have the same bytes; `==` would call canonically equivalent ones equal.
  static func areSame(_ left: String, _ right: String) -> Bool { left.utf8.elementsEqual(right.utf8) }
}

/// The tokenizer of a `tokenizer.json`'s bytes.
func load(_ bytes: [UInt8]) throws -> Tokenizer {
  try bytes.withUnsafeBufferPointer { try Tokenizer(VocabularySpec(tokenizerJSON: $0)) }
}
