import Basics
import Foundation
import Tensors
import TestSupport
import Testing

@testable import Scoring

@Suite(.serialized) struct EmbedderTests {
  @Test(arguments: TinyBert.all, BackendPlace.all)
  func embeddingsArePooledHiddenStates(_ model: TinyBert, _ place: BackendPlace) throws {
    let embedder = try Embedder(
      folder: model.folder, backend: place.backend, compute: .f32, maximumLength: 32, batchTokens: 40)
    let cases = try model.cases().filter { $0.pair == nil && $0.maxLength == 32 }
    let result = try embedder.embed(cases.map(\.text))
    #expect(result.tokens == cases.reduce(0) { $0 + $1.ids.count })
    let width = embedder.width
    for (index, item) in cases.enumerated() {
      let hidden = try #require(item.hidden).map(Double.init)
      var expected = (0..<width).map { column in
        model.name == "tanh"
          ? hidden[column]
          : stride(from: column, to: hidden.count, by: width).reduce(0) { $0 + hidden[$1] }
            / Double(item.ids.count)
      }
      if model.name == "exact" {
        let norm = expected.reduce(0) { $0 + $1 * $1 }.squareRoot()
        expected = expected.map { $0 / norm }
      }
      let actual = result.vectors[index * width..<(index + 1) * width]
      let worst = zip(actual, expected).reduce(0.0) { max($0, (Double($1.0) - $1.1).magnitude) }
      #expect(worst <= 1e-5, "\(item.text)")
    }
  }

  @Test func aTextsVectorHasTheSameBitsInAnyCompany() throws {
    let place = BackendPlace.cpu
    let texts = try TinyBert.tokens().prefix(60).map(\.text)
    let all = try [16, 64, 4096].map { tokens in
      try Embedder(
        folder: TinyBert.all[0].folder, backend: place.backend, batchTokens: tokens
      ).embed(Array(texts)).vectors.map(\.bitPattern)
    }
    #expect(all[0] == all[1])
    #expect(all[0] == all[2])
  }

  @Test func batchesHoldNeighbouringLengthsAndEveryTextOnce() {
    let lengths = [3, 50, 7, 7, 100, 1, 30]
    let batches = LengthBatches.make(lengths: lengths, tokens: 60)
    #expect(batches.flatMap(\.self).sorted() == Array(lengths.indices))
    #expect(batches.map { $0.map { lengths[$0] } } == [[100], [50], [30, 7, 7, 3, 1]])
    #expect(LengthBatches.make(lengths: [], tokens: 1).isEmpty)
  }

  @Test func lengthsOutOfRangeThrow() throws {
    let place = BackendPlace.cpu
    for (length, tokens) in [(2, 100), (65, 100), (10, 0)] {
      let error = #expect(throws: RetortError.self) {
        _ = try Embedder(
          folder: TinyBert.all[0].folder, backend: place.backend, maximumLength: length, batchTokens: tokens)
      }
      #expect(error?.code == .invalidArgument)
    }
  }

  @Test(arguments: NumPyFile.Element.allCases)
  func aNumPyFileHoldsItsRows(_ element: NumPyFile.Element) throws {
    let path = NSTemporaryDirectory() + "retort-\(UUID().uuidString).npy"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let file = try NumPyFile(path: path, width: 3, element: element)
    try file.append([1, 2, 3])
    try file.append([4, 5, -0.5, 7, 8, 9])
    #expect(!FileManager.default.fileExists(atPath: path))
    try file.commit()
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    #expect(bytes.prefix(8) == [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59, 1, 0])
    let header = String(decoding: bytes[10..<128], as: UTF8.self)
    let type = element == .float32 ? "<f4" : "<f2"
    #expect(header.hasPrefix("{'descr': '\(type)', 'fortran_order': False, 'shape': (3, 3), }"))
    #expect(header.hasSuffix("\n") && Int(bytes[8]) + Int(bytes[9]) << 8 == 118)
    let body = bytes.dropFirst(128)
    #expect(body.count == 9 * (element == .float32 ? 4 : 2))
    let sixth = body.dropFirst(5 * body.count / 9).prefix(body.count / 9)
    #expect(Array(sixth) == (element == .float32 ? [0, 0, 0, 0xBF] : [0, 0xB8]))
  }
}
