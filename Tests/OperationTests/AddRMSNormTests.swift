import Basics
import Tensors
import TestSupport
import Testing

extension Operations {
  /// A sum and its norm in one operation: to the bits of the two.
  @Suite struct AddRMSNormTests {
    @Test(arguments: BackendUnderTest.all)
    func oneOperationGivesTheBitsOfTwo(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      for (index, (rows, width)) in NormTests.sizes.enumerated() {
        var random = TestRandom(UInt64(index + 40))
        let (a, b) = (random.activations(rows * width), random.activations(rows * width))
        let weight = try backend.vector(random.floats(width, in: 0.2...2))
        let left = index % 2 == 0 ? try backend.matrix(a, width) : try backend.columns(a, width)
        let right = index % 3 == 0 ? try backend.columns(b, width, before: 2) : try backend.matrix(b, width)
        let (sum, normed) = try backend.addRMSNorm(left, right, weight: weight, epsilon: 1e-5)
        let plain = try backend.plainAddRMSNorm(left, right, weight: weight, epsilon: 1e-5)
        #expect(sum.shape == [rows, width] && normed.shape == [rows, width])
        #expect(try Judge.bitDifference(backend.read(sum)[...], backend.read(plain.sum)[...]) == nil)
        #expect(try Judge.bitDifference(backend.read(normed)[...], backend.read(plain.normed)[...]) == nil)
        let sums = zip(a.doubles, b.doubles).map { Double(Float($0 + $1)) }
        try expectClose(
          backend, normed,
          Reference.rmsNorm(sums, weight: backend.read(weight).doubles, epsilon: Double(Float(1e-5))),
          Tolerances.rmsNorm(width: width), "[\(rows), \(width)]")
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func rowsAreTheSameBitsAloneAndTogether(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let (rows, width) = (9, 576)
      var random = TestRandom(7)
      let (a, b) = (random.activations(rows * width), random.activations(rows * width))
      let weight = try backend.vector(random.floats(width))
      let together = try backend.read(
        backend.addRMSNorm(backend.matrix(a, width), backend.matrix(b, width), weight: weight, epsilon: 1e-5)
          .normed)
      for row in 0..<rows {
        let place = (row * width)..<(row * width + width)
        let alone = try backend.addRMSNorm(
          backend.matrix(Array(a[place]), width), backend.matrix(Array(b[place]), width), weight: weight,
          epsilon: 1e-5)
        #expect(try Judge.bitDifference(together[place], backend.read(alone.normed)[...]) == nil)
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func operandsThatDoNotFitAreRefused(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let x = try backend.matrix([1, 2, 3, 4, 5, 6], 3)
      let (short, long) = (try backend.vector([1, 2]), try backend.vector([1, 2, 3]))
      let other = try backend.matrix([1, 2, 3], 3)
      expectShapeMismatch { _ = try backend.addRMSNorm(x, x, weight: short, epsilon: 1) }
      expectShapeMismatch { _ = try backend.addRMSNorm(x, other, weight: long, epsilon: 1) }
    }
  }

  /// Matrices stacked in one product on a device: those of one type share a buffer where they fill whole panels.
  @Suite struct StackedMatrixTests {
    @Test(arguments: BackendUnderTest.openCLModes)
    func aStackGivesTheBitsOfItsParts(_ under: (BackendUnderTest, ComputeMode)) throws {
      let backend = try under.0.backend
      let width = 256
      // Whole panels, then a part of one; another type; a part of a panel before the next.
      let stacks: [[(DType, Int)]] = [
        [(.q4_1, 64), (.q4_1, 32), (.q4_1, 45)], [(.f16, 32), (.q8_0, 32), (.q8_0, 7)],
        [(.bf16, 33), (.bf16, 32), (.bf16, 64)],
      ]
      for stack in stacks {
        let parts = stack.map { Stored.weight($0.0, $0.1, width) }
        let joint = try backend.loadMatrix(parts.map(\.source), compute: under.1)
        #expect(joint.outputWidth == stack.reduce(0) { $0 + $1.1 })
        var random = TestRandom(11)
        for rows in [1, 20] {
          let x = try backend.matrix(random.activations(rows * width), width)
          let product = try backend.matmul(x, joint, bias: nil)
          var column = 0
          for part in parts {
            let own = try backend.matmul(x, backend.loadMatrix([part.source], compute: under.1), bias: nil)
            let columns = try product.columns(column..<column + own.width)
            #expect(
              try Judge.bitDifference(backend.read(columns)[...], backend.read(own)[...]) == nil,
              "\(part.dtype), \(rows) rows")
            column += own.width
          }
        }
      }
    }
  }
}
