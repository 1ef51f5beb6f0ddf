import Basics
import Foundation
import ModelFormats
import Tensors
import TestSupport
import Testing
import Transformers

@testable import Scoring

@Suite(.serialized) struct PairScorerTests {
  struct Case: Decodable {
    let text: String
    let pair: String
    let maxLength: Int
    let logits: [Float]

    enum CodingKeys: String, CodingKey {
      case text, pair, logits
      case maxLength = "max_length"
    }
  }

  struct Cases: Decodable { let inputs: [Case] }

  static let folder = TinyBert.root + "/pair"

  static func cases() throws -> [Case] {
    try JSONDecoder().decode(Cases.self, from: Data(contentsOf: URL(fileURLWithPath: folder + "/cases.json")))
      .inputs
  }

  /// Largest difference of a logit from transformers'.
  static func worst(_ place: BackendPlace, _ compute: ComputeMode) throws -> Float {
    let cases = try cases()
    let scorer = try PairScorer(
      folder: folder, backend: place.backend, compute: compute, maximumLength: 20, batchTokens: 50)
    let result = try scorer.score(cases.map { ($0.text, $0.pair) })
    let expected = cases.flatMap(\.logits)
    try #require(result.logits.count == expected.count)
    let isNumber = result.logits.allSatisfy { !$0.isNaN }
    #expect(isNumber)
    return zip(result.logits, expected).reduce(0) { max($0, ($1.0 - $1.1).magnitude) }
  }

  @Test(arguments: BackendPlace.all)
  func logitsAreThoseOfTransformers(_ place: BackendPlace) throws {
    #expect(try Self.worst(place, .f32) <= 1e-5)
  }

  @Test func narrowProductsStayClose() throws {
    let cpu = BackendPlace.cpu
    // Eight bits through two layers of a random model, whose logits are about 1.
    #expect(try Self.worst(cpu, .bf16) <= 0.05)
    #expect(try Self.worst(cpu, .int8) <= 0.1)
  }

  @Test func probabilitiesAreTheSoftmaxOfLogits() throws {
    let scorer = try PairScorer(
      folder: Self.folder, backend: try BackendPlace.cpu.backend, compute: .f32, maximumLength: 20)
    #expect(scorer.labels == ["irrelevant", "partial", "exact"])
    let result = try scorer.score([("red shoes", "running shoes"), ("a", "b")])
    #expect(result.probabilities.count == 6)
    for row in 0..<2 {
      let weights = result.logits[row * 3..<row * 3 + 3].map { exp(Double($0)) }
      for (p, weight) in zip(result.probabilities[row * 3..<row * 3 + 3], weights) {
        #expect((Double(p) - weight / weights.reduce(0, +)).magnitude < 1e-6)
      }
    }
    #expect(try scorer.score([]).logits.isEmpty)
  }

  @Test(arguments: BackendPlace.all, [ComputeMode.f32, .bf16])
  func aPairsLogitsHaveTheSameBitsInAnyCompany(_ place: BackendPlace, _ compute: ComputeMode) throws {
    try Self.checkCompany(place, compute)
  }

  @Test func aPairsLogitsHaveTheSameBitsInAnyCompanyInInt8() throws {
    try Self.checkCompany(BackendPlace.cpu, .int8)
  }

  static func checkCompany(_ place: BackendPlace, _ compute: ComputeMode) throws {
    let backend = try place.backend
    let pairs = try cases().map { (query: $0.text, item: $0.pair) }
    func bits(_ pairs: [(query: String, item: String)], tokens: Int) throws -> [[UInt32]] {
      let scorer = try PairScorer(folder: folder, backend: backend, compute: compute, batchTokens: tokens)
      let logits = try scorer.score(pairs).logits.map(\.bitPattern)
      return (0..<pairs.count).map { Array(logits[$0 * 3..<$0 * 3 + 3]) }
    }
    let alone = try bits(pairs, tokens: 1)
    #expect(try bits(pairs, tokens: 64) == alone)
    #expect(try bits(pairs, tokens: 4096) == alone)
    #expect(try bits(pairs.reversed(), tokens: 300) == alone.reversed())
  }

  @Test(arguments: BackendPlace.all)
  func firstRowsAreThoseOfAllRows(_ place: BackendPlace) throws {
    let backend = try place.backend
    for folder in TinyBert.all.map(\.folder) {
      let encoder = try ModelRegistry.loadEncoder(
        EncoderSource(folder: folder), backend: backend, compute: .f32)
      let batch = try backend.prepare(PackedBatch(tokenIDs: [[2, 9, 30, 3], [2, 3], [2, 50, 7, 8, 9, 3]]))
      let all = try backend.read(encoder.forward(batch, on: backend))
      let first = try backend.read(encoder.forwardFirstRows(batch, on: backend))
      let width = encoder.configuration.hiddenSize
      let expected = [0, 4, 6].flatMap { all[$0 * width..<($0 + 1) * width] }
      try #require(first.count == expected.count)
      #expect(zip(first, expected).reduce(0) { max($0, ($1.0 - $1.1).magnitude) } < 1e-5)
    }
  }

  @Test func foldersThatHoldNoClassifierThrow() throws {
    let backend = try BackendPlace.cpu.backend
    let config = try String(contentsOfFile: Self.folder + "/config.json", encoding: .utf8)
    let spoilt = [
      config.replacingOccurrences(of: #""2":"exact""#, with: #""3":"exact""#),
      config.replacingOccurrences(of: #""2":"exact""#, with: #""2":"partial""#),
      config.replacingOccurrences(of: #","2":"exact""#, with: ""),
      config.replacingOccurrences(of: #""2":"exact""#, with: #""2":7"#),
    ]
    for (index, text) in spoilt.enumerated() {
      try #require(text != config)
      let folder = NSTemporaryDirectory() + "retort-\(UUID().uuidString)"
      defer { try? FileManager.default.removeItem(atPath: folder) }
      try FileManager.default.copyItem(atPath: Self.folder, toPath: folder)
      try text.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
      let error = #expect(throws: RetortError.self, "case \(index)") {
        _ = try PairScorer(folder: folder, backend: backend)
      }
      #expect(error?.code == (index == 2 ? .shapeMismatch : .malformedFile), "case \(index)")
    }
    let bare = #expect(throws: RetortError.self) {
      _ = try PairScorer(folder: TinyBert.all[0].folder, backend: backend)
    }
    #expect(bare?.code == .malformedFile)
    #expect(bare?.field == "pooler.dense.weight")
    let short = #expect(throws: RetortError.self) {
      _ = try PairScorer(folder: Self.folder, backend: backend, maximumLength: 4)
    }
    #expect(short?.code == .invalidArgument)
  }
}
