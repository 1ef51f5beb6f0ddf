import Foundation
import Tensors
import Testing

/// A case of the fixture folder `gradients`, described in its README.
struct GradientFixture: Decodable, Sendable, CustomTestStringConvertible {
  struct Numbers: Decodable, Sendable {
    let shape: [Int]
    let values: [Double]

    var floats: [Float] { values.map(Float.init) }
    var integers: [Int32] { values.map { Int32($0) } }
    var width: Int { shape.last ?? 1 }
  }

  struct Attributes: Decodable, Sendable {
    var epsilon: Float?
    var form: String?
    var groups: Int?
    var starts: [Int]?
    var indices: [Int32]?
    var heads: Int?
    var keyHeads: Int?
    var headDim: Int?
    var base: Float?
    var layout: String?
    var scale: Float?
    var causal: Bool?
    var temperature: Double?
  }

  let operation: String
  let attributes: Attributes
  let inputs: [String: Numbers]
  let constants: [String: Numbers]
  let output: Numbers
  let upstream: Numbers
  let gradients: [String: Numbers]

  var testDescription: String { "\(operation) \(output.shape)" }

  /// All cases; a file that cannot be read is an error of every test that asks.
  static func all() throws -> [GradientFixture] {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let file = root.appending(path: "Fixtures/gradients/cases.json")
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode([GradientFixture].self, from: Data(contentsOf: file))
  }
}
