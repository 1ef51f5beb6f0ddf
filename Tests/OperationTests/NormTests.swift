import Basics
import Tensors
import TestSupport
import Testing

extension Operations {
  @Suite struct NormTests {
    static let sizes = [(1, 1), (2, 7), (3, 64), (7, 129), (16, 576), (33, 37), (65, 48)]

    @Test(arguments: BackendUnderTest.all)
    func rmsNormFollowsTheReference(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      for (index, (rows, width)) in Self.sizes.enumerated() {
        var random = TestRandom(UInt64(index))
        let x = random.activations(rows * width)
        let weight = random.floats(width, in: 0.2...2)
        let epsilon: Float = index % 2 == 0 ? 1e-6 : 1e-2
        let input = index % 2 == 0 ? try backend.matrix(x, width) : try backend.columns(x, width)
        let actual = try backend.rmsNorm(input, weight: backend.vector(weight), epsilon: epsilon)
        #expect(actual.shape == [rows, width])
        try expectClose(
          backend, actual, Reference.rmsNorm(x.doubles, weight: weight.doubles, epsilon: Double(epsilon)),
          Tolerances.rmsNorm(width: width), "[\(rows), \(width)]")
      }
    }

    @Test(arguments: BackendUnderTest.all, [Float(0), 100])
    func layerNormFollowsTheReference(_ backend: BackendUnderTest, _ shift: Float) throws {
      let backend = try backend.backend
      for (index, (rows, width)) in Self.sizes.enumerated() {
        var random = TestRandom(UInt64(index + 20))
        let x = random.activations(rows * width).map { $0 + shift }
        let weight = random.floats(width, in: -2...2)
        let bias = random.floats(width)
        let input = index % 2 == 0 ? try backend.matrix(x, width) : try backend.columns(x, width)
        let actual = try backend.layerNorm(
          input, weight: backend.vector(weight), bias: backend.vector(bias), epsilon: 1e-5)
        #expect(actual.shape == [rows, width])
        try expectClose(
          backend, actual,
          Reference.layerNorm(
            x.doubles, weight: weight.doubles, bias: bias.doubles, epsilon: Double(Float(1e-5))),
          Tolerances.layerNorm(width: width), "[\(rows), \(width)]")
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func aRowOfZerosGivesZerosAndTheBias(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let x = try backend.matrix([Float](repeating: 0, count: 30), 15)
      let ones = try backend.vector([Float](repeating: 1, count: 15))
      let rms = try backend.read(backend.rmsNorm(x, weight: ones, epsilon: 1e-6))
      #expect(rms.allSatisfy { $0 == 0 })
      let layer = try backend.read(backend.layerNorm(x, weight: ones, bias: ones, epsilon: 1e-6))
      #expect(layer.allSatisfy { $0 == 1 })
    }

    @Test(arguments: BackendUnderTest.all)
    func aRowIsTheSameBitsInEveryBatch(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let width = 195
      var random = TestRandom(7)
      let x = random.activations(100 * width)
      let weight = try backend.vector(random.floats(width))
      let bias = try backend.vector(random.floats(width))
      let input = try backend.matrix(x, width)
      let whole = [
        try backend.read(backend.rmsNorm(input, weight: weight, epsilon: 1e-5)),
        try backend.read(backend.layerNorm(input, weight: weight, bias: bias, epsilon: 1e-5)),
      ]
      for rows in [0..<1, 41..<43, 7..<12, 84..<100, 3..<36] {
        let part = try input.rows(rows)
        let some = [
          try backend.read(backend.rmsNorm(part, weight: weight, epsilon: 1e-5)),
          try backend.read(backend.layerNorm(part, weight: weight, bias: bias, epsilon: 1e-5)),
        ]
        for (some, whole) in zip(some, whole) {
          let range = (rows.lowerBound * width)..<(rows.upperBound * width)
          #expect(Judge.bitDifference(some[...], whole[range]) == nil, "rows \(rows)")
        }
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func operandsThatDoNotFitThrow(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let x = try backend.matrix([Float](repeating: 1, count: 30), 15)
      let right = try backend.vector([Float](repeating: 1, count: 15))
      let wrong = try backend.vector([Float](repeating: 1, count: 16))
      expectShapeMismatch { _ = try backend.rmsNorm(x, weight: wrong, epsilon: 1e-6) }
      expectShapeMismatch { _ = try backend.rmsNorm(right, weight: right, epsilon: 1e-6) }
      expectShapeMismatch { _ = try backend.layerNorm(x, weight: right, bias: wrong, epsilon: 1e-6) }
      expectShapeMismatch { _ = try backend.layerNorm(x, weight: wrong, bias: right, epsilon: 1e-6) }
    }
  }
}
