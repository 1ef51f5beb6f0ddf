import Basics
import Tensors
import TestSupport
import Testing

extension Operations {
  @Suite struct EncoderLayerOutputTests {
    static let width = 96
    static let inner = 160

    static func weights(_ backend: any Backend, _ mode: ComputeMode) throws -> EncoderLayerOutput.Weights {
      var random = TestRandom(11)
      func product(_ out: Int, _ input: Int) throws -> EncoderLayerOutput.Product {
        EncoderLayerOutput.Product(
          weight: try backend.loadMatrix([Stored.weight(.f32, out, input).source], compute: mode),
          bias: try backend.vector(random.floats(out)))
      }
      func norm() throws -> EncoderLayerOutput.Norm {
        EncoderLayerOutput.Norm(
          weight: try backend.vector(random.floats(width).map { 1 + $0 / 4 }),
          bias: try backend.vector(random.floats(width)))
      }
      return EncoderLayerOutput.Weights(
        attentionOutput: try product(width, width), attentionNorm: try norm(), up: try product(inner, width),
        down: try product(width, inner), outputNorm: try norm(), epsilon: 1e-12, activation: .exact)
    }

    @Test(arguments: BackendUnderTest.modes)
    func theFusedOperationIsTheSingleOnes(_ backend: BackendUnderTest, _ mode: ComputeMode) throws {
      let backend = try backend.backend
      let weights = try Self.weights(backend, mode)
      for rows in [1, 7, 64, 130] {
        var random = TestRandom(UInt64(rows))
        let hidden = try backend.columns(random.activations(rows * Self.width), Self.width)
        let attended = try backend.matrix(random.activations(rows * Self.width), Self.width)
        let fused = try backend.encoderLayerOutput(hidden, attended: attended, weights)
        #expect(fused.shape == [rows, Self.width])
        let actual = try backend.read(fused)
        let expected = try backend.read(
          backend.plainEncoderLayerOutput(hidden, attended: attended, weights))
        let worst = zip(actual, expected).reduce(Float(0)) { max($0, ($1.0 - $1.1).magnitude) }
        // In int8 the activation's last bits decide how a number rounds to 8 bits; elements are near 1.
        #expect(worst <= (mode == .int8 ? 0.02 : 0), "\(rows) rows")
      }
    }

    @Test(arguments: BackendUnderTest.modes)
    func aRowHasTheSameBitsInAnyCompany(_ backend: BackendUnderTest, _ mode: ComputeMode) throws {
      let backend = try backend.backend
      let weights = try Self.weights(backend, mode)
      let product = weights.up
      let (rows, width) = (131, Self.width)
      var random = TestRandom(3)
      let (hidden, attended) = (random.activations(rows * width), random.activations(rows * width))
      func run(_ range: Range<Int>) throws -> (layer: [Float], product: [Float]) {
        let part = (range.lowerBound * width)..<(range.upperBound * width)
        let x = try backend.matrix(Array(hidden[part]), width)
        let layer = try backend.encoderLayerOutput(
          x, attended: backend.matrix(Array(attended[part]), width), weights)
        return (
          try backend.read(layer), try backend.read(backend.matmul(x, product.weight, bias: product.bias))
        )
      }
      let whole = try run(0..<rows)
      for range in [0..<1, 5..<12, 60..<131, 130..<131] {
        let part = try run(range)
        let layer = whole.layer[(range.lowerBound * width)..<(range.upperBound * width)]
        #expect(Judge.bitDifference(part.layer[...], layer) == nil, "\(range)")
        let products = whole.product[(range.lowerBound * Self.inner)..<(range.upperBound * Self.inner)]
        #expect(Judge.bitDifference(part.product[...], products) == nil, "product of \(range)")
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func operandsThatDoNotFitThrow(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let weights = try Self.weights(backend, .f32)
      let x = try backend.matrix([Float](repeating: 1, count: 2 * Self.width), Self.width)
      let short = try backend.matrix([Float](repeating: 1, count: Self.width), Self.width)
      let narrow = try backend.matrix([Float](repeating: 1, count: 2 * 95), 95)
      expectShapeMismatch { _ = try backend.encoderLayerOutput(x, attended: short, weights) }
      expectShapeMismatch { _ = try backend.encoderLayerOutput(narrow, attended: narrow, weights) }
      let turned = EncoderLayerOutput.Weights(
        attentionOutput: weights.attentionOutput, attentionNorm: weights.attentionNorm, up: weights.down,
        down: weights.up, outputNorm: weights.outputNorm, epsilon: 1, activation: .exact)
      expectShapeMismatch { _ = try backend.encoderLayerOutput(x, attended: x, turned) }
    }
  }
}
