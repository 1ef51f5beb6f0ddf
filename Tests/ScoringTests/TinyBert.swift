import Basics
import CPUBackend
import Foundation
import OpenCLBackend
import OpenCLRuntime
import Tensors
import Testing

/// The fixture Tests/Fixtures/tiny-bert, with what transformers made of its inputs.
struct TinyBert: Sendable, CustomTestStringConvertible {
  struct Case: Decodable {
    let text: String
    let pair: String?
    let maxLength: Int?
    let ids: [Int32]
    let typeIDs: [Int32]?
    let hidden: [Float]?

    enum CodingKeys: String, CodingKey {
      case text, pair, ids, hidden
      case maxLength = "max_length"
      case typeIDs = "type_ids"
    }
  }

  struct Cases: Decodable { let inputs: [Case] }

  let name: String
  var testDescription: String { name }

  static let all = [TinyBert(name: "exact"), TinyBert(name: "tanh")]
  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/tiny-bert").path

  var folder: String { TinyBert.root + "/" + name }

  func cases() throws -> [Case] {
    try JSONDecoder().decode(Cases.self, from: Data(contentsOf: URL(fileURLWithPath: folder + "/cases.json")))
      .inputs
  }

  /// Inputs of many scripts with their ids by `exact/tokenizer.json`.
  static func tokens() throws -> [Case] {
    try JSONDecoder().decode([Case].self, from: Data(contentsOf: URL(fileURLWithPath: root + "/tokens.json")))
  }
}
