import Basics
import CPUBackend
import Foundation
import ModelFormats
import OpenCLBackend
import OpenCLRuntime
import Tensors
import TestSupport
import Testing
import Tokenizers
import Transformers

@testable import Generation

/// Expected results of a tiny model: `Tests/Fixtures/tiny-*/golden-*.json`.
struct Golden: Decodable {
  struct Prompt: Decodable {
    let text: String
    let ids: [Int32]
    let greedy: [Int32]
    let greedyLogProbabilities: [Float]
    let positions: [Position]

    enum CodingKeys: String, CodingKey {
      case text, ids, greedy, positions
      case greedyLogProbabilities = "greedy_logprobs"
    }
  }

  struct Position: Decodable {
    let position: Int
    let first16: [Float]
    let logsumexp: Float
  }

  let file: String
  let prompts: [Prompt]
}

/// A tiny model on disk with its expected results.
struct GoldenModel: Sendable, CustomTestStringConvertible {
  let folder: String
  let golden: String

  var testDescription: String { "\(folder), \(golden)" }

  static let all = [
    GoldenModel(folder: "tiny-llama", golden: "golden-gguf.json"),
    GoldenModel(folder: "tiny-llama", golden: "golden-hf.json"),
    GoldenModel(folder: "tiny-qwen2", golden: "golden-gguf.json"),
    GoldenModel(folder: "tiny-qwen2", golden: "golden-hf.json"),
    GoldenModel(folder: "tiny-kquant", golden: "golden-gguf.json"),
  ]

  private var path: String {
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    return tests.appendingPathComponent("Fixtures/\(folder)").path
  }

  func expected() throws -> Golden {
    let data = try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(golden)"))
    return try JSONDecoder().decode(Golden.self, from: data)
  }

  func source() throws -> ModelSource { try ModelSource(path: "\(path)/\(expected().file)") }

  /// A runner with a Float32 cache and the model's tokenizer.
  func load(_ place: BackendPlace, _ compute: ComputeMode, cacheTokens: Int = 192) throws -> (
    ModelRunner, Tokenizer
  ) {
    let source = try source()
    let backend = try place.backend
    let model = try ModelRegistry.loadDecoder(source, backend: backend, compute: compute)
    let runner = try ModelRunner(model: model, backend: backend, cacheTokens: cacheTokens, cacheType: .f32)
    return (runner, try Tokenizer(VocabularySpec(source)))
  }
}

extension BackendPlace {
  static let withModes: [(BackendPlace, ComputeMode)] =
    all.flatMap { place in
      [ComputeMode.f32, .bf16, .lean, .int8].map { (place, $0) }
    }
}

extension ModelRunner {
  /// Logits of the first 16 ids and the logsumexp after every row, the prompt run in steps of `stepTokens`.
  func firstLogits(_ ids: [Int32], stepTokens: Int, blockTable: [Int32]) throws -> [(
    logits: [Float], logSumExp: Float
  )] {
    var result: [(logits: [Float], logSumExp: Float)] = []
    for start in stride(from: 0, to: ids.count, by: stepTokens) {
      let end = min(ids.count, start + stepTokens)
      let slice = SequenceSlice(
        rowStart: 0, rowCount: end - start, contextLength: end, blockTable: blockTable)
      let batch = try BatchMetadata(
        tokenIDs: Array(ids[start..<end]), sequences: [slice], blockSize: ModelRunner.blockSize)
      let logits = try run(batch, outputRows: (0..<Int32(end - start)).map { $0 })
      let request = LogProbabilityRequest(topCount: 1, chosen: (0..<16).map { $0 })
      for row in try logits.read(Array(repeating: request, count: end - start)) {
        result.append((row.chosenLogProbabilities.map { $0 + row.logSumExp }, row.logSumExp))
      }
    }
    return result
  }
}
