import Basics
import ModelFormats
import Tensors
import TestSupport
import Testing
import Tokenizers
import Transformers

@Suite(.serialized) struct EncoderGoldenTests {
  @Test(arguments: TinyBert.all, BackendPlace.all)
  func hiddenStatesAreThoseOfTransformers(_ model: TinyBert, _ place: BackendPlace) throws {
    let backend = try place.backend
    let encoder = try ModelRegistry.loadEncoder(
      EncoderSource(folder: model.folder), backend: backend, compute: .f32)
    let cases = try model.cases()
    let packed = try PackedBatch(
      tokenIDs: cases.map(\.ids), typeIDs: cases.map { try #require($0.typeIDs) })
    let hidden = try backend.read(encoder.forward(backend.prepare(packed), on: backend))
    let width = encoder.configuration.hiddenSize
    for (index, item) in cases.enumerated() {
      let rows = packed.rows(of: index)
      let expected = try #require(item.hidden)
      let actual = hidden[rows.lowerBound * width..<rows.upperBound * width]
      try #require(actual.count == expected.count)
      let worst = zip(actual, expected).reduce(Float(0)) { max($0, ($1.0 - $1.1).magnitude) }
      #expect(worst <= 1e-5, "\(item.text)")
      let isNumber = actual.allSatisfy { !$0.isNaN }
      #expect(isNumber)
    }
  }

  @Test(arguments: TinyBert.all, BackendPlace.all)
  func narrowProductsStayClose(_ model: TinyBert, _ place: BackendPlace) throws {
    let backend = try place.backend
    let encoder = try ModelRegistry.loadEncoder(
      EncoderSource(folder: model.folder), backend: backend, compute: .auto)
    let item = try #require(try model.cases().first)
    let packed = try PackedBatch(tokenIDs: [item.ids])
    let hidden = try backend.read(encoder.forward(backend.prepare(packed), on: backend))
    let expected = try #require(item.hidden)
    let worst = zip(hidden, expected).reduce(Float(0)) { max($0, ($1.0 - $1.1).magnitude) }
    // Eight significant bits through two layers whose norms keep elements near 1.
    #expect(hidden.count == expected.count && worst < 0.1)
  }

  @Test(arguments: TinyBert.all)
  func textsAndPairsHaveTheReferencesTokens(_ model: TinyBert) throws {
    let tokenizer = try WordPieceTokenizer(folder: model.folder)
    for item in try model.cases() {
      let length = item.maxLength ?? .max
      let encoded =
        try item.pair.map { try tokenizer.encode(item.text, pair: $0, maximumLength: length) }
        ?? tokenizer.encode(item.text, maximumLength: length)
      #expect(encoded.ids == item.ids, "\(item.text)")
      #expect(encoded.typeIDs == item.typeIDs, "\(item.text)")
    }
  }

  @Test func modelsThatDoNotFitThrow() throws {
    let backend = try BackendPlace.cpu.backend
    let encoder = try ModelRegistry.loadEncoder(
      EncoderSource(folder: TinyBert.all[0].folder), backend: backend, compute: .f32)
    for ids in [[Int32(1_000_000)], [-1], [Int32](repeating: 1, count: 65)] {
      let error = #expect(throws: RetortError.self) {
        _ = try encoder.forward(backend.prepare(PackedBatch(tokenIDs: [ids])), on: backend)
      }
      #expect(error?.code == .invalidArgument)
    }
    let missing = #expect(throws: RetortError.self) { _ = try EncoderSource(folder: "/nowhere") }
    #expect(missing?.code == .fileUnavailable)
  }
}
