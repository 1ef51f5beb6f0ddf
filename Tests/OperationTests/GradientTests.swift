import Basics
import Tensors
import TestSupport
import Testing

extension Operations {
  /// Gradients of the operations that treat every row by itself.
  @Suite struct GradientTests {
    static let sizes = [(1, 1), (2, 7), (3, 64), (7, 129), (16, 33), (33, 16), (130, 37)]
    /// Both sides of every overflow and underflow that an exponential can meet.
    static let extremes: [Float] = ElementwiseTests.extremes + [5, -5, 10, -10, 14, -14]

    /// Runs `body` on every size with random numbers, as packed rows and as views in turn.
    static func eachSize(
      _ body: (_ random: inout TestRandom, _ rows: Int, _ width: Int, _ view: Bool) throws -> Void
    ) rethrows {
      for (index, (rows, width)) in sizes.enumerated() {
        var random = TestRandom(UInt64(index + 40))
        try body(&random, rows, width, index % 2 == 1)
      }
    }

    @Test(arguments: BackendUnderTest.trainers)
    func layerNormGradientFollowsTheReference(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      try Self.eachSize { random, rows, width, view in
        let (g, x) = (random.floats(rows * width), random.activations(rows * width))
        let weight = random.floats(width, in: 0.2...2)
        let (weights, biases) = (random.floats(width), random.floats(width))
        let epsilon: Float = view ? 1e-2 : 1e-6
        let (weightSum, biasSum) = (try backend.sum(weights), try backend.sum(biases))
        let actual = try backend.layerNormGradient(
          backend.operand(g, width, view: view), x: backend.operand(x, width, view: !view),
          weight: backend.sum(weight), epsilon: epsilon, weightSum: weightSum, biasSum: biasSum)
        let expected = Reference.layerNormGradient(
          g.doubles, x: x.doubles, weight: weight.doubles, epsilon: Double(epsilon))
        #expect(actual.shape == [rows, width])
        // One column leaves only rounding, which a small ε blows up.
        let comment = "[\(rows), \(width)]"
        if width > 1 {
          try expectClose(backend, actual, expected.x, Tolerances.normGradient(width: width), comment)
          try expectClose(
            backend, weightSum, expected.weight.added(to: weights),
            Tolerances.normWeightGradient(rows: rows, width: width), comment)
        }
        try expectClose(
          backend, biasSum, expected.bias.added(to: biases), Tolerances.sum(rows + 1), comment)
      }
    }

    @Test(arguments: BackendUnderTest.trainers)
    func rmsNormGradientFollowsTheReference(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      try Self.eachSize { random, rows, width, view in
        let (g, x) = (random.floats(rows * width), random.activations(rows * width))
        let weight = random.floats(width, in: 0.2...2)
        let weights = random.floats(width)
        let epsilon: Float = view ? 1e-2 : 1e-6
        let weightSum = try backend.sum(weights)
        let actual = try backend.rmsNormGradient(
          backend.operand(g, width, view: view), x: backend.operand(x, width, view: !view),
          weight: backend.sum(weight), epsilon: epsilon, weightSum: weightSum)
        let expected = Reference.rmsNormGradient(
          g.doubles, x: x.doubles, weight: weight.doubles, epsilon: Double(epsilon))
        #expect(actual.shape == [rows, width])
        try expectClose(
          backend, actual, expected.x, Tolerances.normGradient(width: width), "[\(rows), \(width)]")
        try expectClose(
          backend, weightSum, expected.weight.added(to: weights),
          Tolerances.normWeightGradient(rows: rows, width: width), "[\(rows), \(width)]")
      }
    }

    @Test(arguments: BackendUnderTest.trainers, GELU.Form.allCases)
    func geluGradientFollowsTheReference(_ backend: BackendUnderTest, _ form: GELU.Form) throws {
      let backend = try backend.trainer
      try Self.eachSize { random, rows, width, view in
        let (g, x) = (random.floats(rows * width), random.activations(rows * width))
        let actual = try backend.geluGradient(
          backend.operand(g, width, view: view), x: backend.operand(x, width, view: !view), form)
        #expect(actual.shape == [rows, width])
        try expectClose(
          backend, actual, Reference.geluGradient(g.doubles, x: x.doubles, form), Tolerances.geluGradient)
      }
      let x = Self.extremes + (-60...60).map { Float($0) / 8 } + [1e20, -1e20]
      let g = x.map { _ in Float(1.5) }
      try expectClose(
        backend, backend.geluGradient(backend.matrix(g, g.count), x: backend.matrix(x, x.count), form),
        Reference.geluGradient(g.doubles, x: x.doubles, form), Tolerances.geluGradient, "extremes")
    }

    @Test(arguments: BackendUnderTest.trainers)
    func siluMulGradientFollowsTheReference(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      func check(_ g: [Float], _ gate: [Float], _ up: [Float], _ width: Int, _ view: Bool) throws {
        let actual = try backend.siluMulGradient(
          backend.operand(g, width, view: view), gate: backend.operand(gate, width, view: !view),
          up: backend.operand(up, width, view: view))
        let expected = Reference.siluMulGradient(g.doubles, gate: gate.doubles, up: up.doubles)
        #expect(actual.gate.shape == [g.count / width, width] && actual.up.shape == actual.gate.shape)
        try expectClose(
          backend, actual.gate, expected.gate, Tolerances.siluMulGradient, absolute: 1e-28, "gate")
        try expectClose(backend, actual.up, expected.up, Tolerances.siluMul, absolute: 1e-28, "up")
      }
      try Self.eachSize { random, rows, width, view in
        try check(
          random.floats(rows * width), random.activations(rows * width), random.activations(rows * width),
          width, view)
      }
      let gate = Self.extremes + (-60...60).map { Float($0) / 2 }
      try check(gate.map { _ in 0.75 }, gate, gate.map { _ in 1.5 }, gate.count, false)
    }

    @Test(arguments: BackendUnderTest.trainers)
    func gradientsFromResultsFollowTheReference(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      try Self.eachSize { random, rows, width, view in
        let g = random.floats(rows * width)
        let y = random.floats(rows * width)
        let upstream = try backend.operand(g, width, view: view)
        try expectClose(
          backend, backend.tanhGradient(upstream, y: backend.operand(y, width, view: !view)),
          Reference.tanhGradient(g.doubles, y: y.doubles), Tolerances.tanhGradient, "tanh")
        let weights = Reference.softmax(random.activations(rows * width).doubles, width: width).floats
        try expectClose(
          backend, backend.softmaxGradient(upstream, y: backend.operand(weights, width, view: !view)),
          Reference.softmaxGradient(g.doubles, y: weights.doubles, width: width),
          Tolerances.softmaxGradient(width: width), absolute: Tolerances.smallestNormal, "softmax")
      }
    }

    @Test(arguments: BackendUnderTest.trainers)
    func l2NormalizeGradientFollowsTheReference(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      try Self.eachSize { random, rows, width, view in
        let g = random.floats(rows * width)
        var x = random.activations(rows * width)
        // A row shorter than ε, and one so short that a cube of its length's inverse overflows.
        for c in 0..<width {
          if rows > 2 { x[width + c] *= 1e-4 }
          if rows > 3 { x[2 * width + c] *= 1e-14 }
        }
        for epsilon: Float in [1e-16, 0.01] {
          try expectClose(
            backend,
            backend.l2NormalizeGradient(
              backend.operand(g, width, view: view), x: backend.operand(x, width, view: !view),
              epsilon: epsilon),
            Reference.l2NormalizeGradient(g.doubles, x: x.doubles, width: width, epsilon: Double(epsilon)),
            Tolerances.l2NormalizeGradient(width: width), "[\(rows), \(width)], ε \(epsilon)")
        }
      }
      let zeros = try backend.l2NormalizeGradient(
        backend.matrix([1, -2], 2), x: backend.matrix([0, 0], 2), epsilon: 0.5)
      #expect(try backend.read(zeros) == [2, -4])
    }

    @Test(arguments: BackendUnderTest.trainers)
    func meanPoolSharesItsGradientAmongRows(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      for (index, lengths) in [[1], [3, 1, 2], [5, 64, 1, 17, 9], [130, 7]].enumerated() {
        let packed = try packedBatch(lengths)
        for width in [1, 7, 37, 64] {
          var random = TestRandom(UInt64(width))
          let g = random.floats(lengths.count * width)
          let actual = try backend.meanPoolGradient(
            backend.operand(g, width, view: index % 2 == 1), backend.prepare(packed))
          #expect(actual.shape == [packed.rows, width])
          try expectClose(
            backend, actual, Reference.meanPoolGradient(g.doubles, width: width, packed),
            Tolerances.scaling)
        }
      }
    }

    @Test(arguments: BackendUnderTest.trainers)
    func gradientsThatDoNotFitThrow(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      let a = try backend.matrix([Float](repeating: 1, count: 12), 4)
      let b = try backend.matrix([Float](repeating: 1, count: 12), 3)
      let (four, three) = (try backend.vector([1, 2, 3, 4]), try backend.vector([1, 2, 3]))
      let batch = try backend.prepare(packedBatch([2, 2]))
      expectShapeMismatch { _ = try backend.geluGradient(a, x: b, .exact) }
      expectShapeMismatch { _ = try backend.tanhGradient(a, y: b) }
      expectShapeMismatch { _ = try backend.softmaxGradient(four, y: four) }
      expectShapeMismatch { _ = try backend.l2NormalizeGradient(a, x: b, epsilon: 1) }
      expectShapeMismatch { _ = try backend.siluMulGradient(a, gate: a, up: b) }
      expectShapeMismatch { _ = try backend.meanPoolGradient(a, batch) }
      for (weight, weights, biases) in [(three, four, four), (four, three, four), (four, four, three)] {
        expectShapeMismatch {
          _ = try backend.layerNormGradient(
            a, x: a, weight: weight, epsilon: 1, weightSum: weights, biasSum: biases)
        }
      }
      expectShapeMismatch {
        _ = try backend.rmsNormGradient(a, x: a, weight: four, epsilon: 1, weightSum: three)
      }
    }
  }
}
