import Basics
import Tensors
import TestSupport
import Testing

extension Operations {
  @Suite struct LossTests {
    /// Distributions of `rows` times `classes`, some of them one-hot.
    static func distributions(_ random: inout TestRandom, _ rows: Int, _ classes: Int) -> [Float] {
      (0..<rows).flatMap { row in
        if row % 3 == 1 { return (0..<classes).map { $0 == row % classes ? Float(1) : 0 } }
        return Reference.softmax(random.floats(classes, in: -3...3).doubles, width: classes).floats
      }
    }

    @Test(arguments: BackendUnderTest.trainers)
    func softmaxDivergenceFollowsTheReference(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      for (index, (rows, classes)) in [(1, 1), (2, 2), (5, 3), (40, 4), (3, 129)].enumerated() {
        var random = TestRandom(UInt64(index))
        var z = random.floats(rows * classes, in: -6...6)
        let t = Self.distributions(&random, rows, classes)
        var w = random.floats(rows, in: 0...2)
        if rows > 3 {
          w[0] = 0
          z[classes] = 500
          z[2 * classes] = -1e30
        }
        for temperature: Float in [1, 2, 0.5] {
          let view = index % 2 == 1
          let actual = try backend.softmaxDivergence(
            backend.operand(z, classes, view: view), targets: backend.operand(t, classes, view: !view),
            weights: backend.sum(w), temperature: temperature)
          let expected = Reference.softmaxDivergence(
            z.doubles, targets: t.doubles, weights: w.doubles, temperature: Double(temperature))
          #expect(actual.losses.shape == [rows] && actual.gradient.shape == [rows, classes])
          let tolerance = Tolerances.loss(classes: classes)
          try expectClose(backend, actual.losses, expected.losses, tolerance, "losses of \(classes)")
          try expectClose(
            backend, actual.gradient, expected.gradient, tolerance, absolute: Tolerances.smallestNormal,
            "gradient of \(classes)")
        }
      }
      let z = try backend.matrix([1, 2, 3, 4], 2)
      let w = try backend.vector([1, 1])
      for temperature: Float in [0, -1, .infinity, .nan] {
        expectShapeMismatch {
          _ = try backend.softmaxDivergence(z, targets: z, weights: w, temperature: temperature)
        }
      }
      expectShapeMismatch { _ = try backend.softmaxDivergence(z, targets: z, weights: z, temperature: 1) }
    }

    @Test(arguments: BackendUnderTest.trainers)
    func sigmoidCrossEntropyFollowsTheReference(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      for (index, (rows, classes)) in [(1, 1), (2, 2), (5, 3), (40, 4), (3, 129)].enumerated() {
        var random = TestRandom(UInt64(index))
        var z = random.floats(rows * classes, in: -9...9)
        if rows > 4 { z.replaceSubrange(0..<6, with: [100, -100, 1000, -1000, 0, -0.0]) }
        let t = random.floats(rows * classes, in: 0...1).map { $0 > 0.6 ? 1 : $0 < 0.4 ? 0 : $0 }
        let w = random.floats(rows * classes, in: 0...2).map { $0 < 0.5 ? 0 : $0 }
        let view = index % 2 == 1
        let actual = try backend.sigmoidCrossEntropy(
          backend.operand(z, classes, view: view), targets: backend.operand(t, classes, view: !view),
          weights: backend.operand(w, classes, view: view))
        let expected = Reference.sigmoidCrossEntropy(
          z.doubles, targets: t.doubles, weights: w.doubles, width: classes)
        #expect(actual.losses.shape == [rows] && actual.gradient.shape == [rows, classes])
        let tolerance = Tolerances.loss(classes: classes)
        try expectClose(backend, actual.losses, expected.losses, tolerance, "losses of \(classes)")
        try expectClose(
          backend, actual.gradient, expected.gradient, tolerance, absolute: Tolerances.smallestNormal,
          "gradient of \(classes)")
      }
      let z = try backend.matrix([1, 2, 3, 4], 2)
      expectShapeMismatch {
        _ = try backend.sigmoidCrossEntropy(z, targets: z, weights: backend.vector([1, 1]))
      }
    }

    /// `[ln α, θ₀, ln gaps …]` of two classes and more, one with classes that hardly ever come.
    static let ordinals: [[Float]] = [
      [2, 0.5], [2.25, 0.375, -1.5], [1.5, 0.25, -2, -1], [0.5, -0.8, -8, -1, 0.2, -3],
    ]

    @Test(arguments: BackendUnderTest.trainers)
    func ordinalLogitsFollowTheReference(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      for (index, parameters) in Self.ordinals.enumerated() {
        for rows in [1, 9, 130] {
          var random = TestRandom(UInt64(rows))
          let x = random.floats(rows) + [1, -1, 30, -30]
          let g = random.floats(x.count * parameters.count)
          let start = random.floats(parameters.count)
          let view = index % 2 == 1
          let (input, numbers) = (try backend.operand(x, 1, view: view), try backend.sum(parameters))
          let y = try backend.ordinalLogits(input, parameters: numbers)
          #expect(y.shape == [x.count, parameters.count])
          try expectClose(
            backend, y, Reference.ordinalLogits(x.doubles, parameters: parameters.doubles),
            Tolerances.ordinalLogits, "\(parameters)")
          let probabilities = try backend.read(y).map { Reference.probability(Double($0)) }
          for row in x.indices.prefix(rows) {
            let total = probabilities[row * parameters.count..<(row + 1) * parameters.count].reduce(0, +)
            #expect((total - 1).magnitude < 1e-5)
          }
          let sum = try backend.sum(start)
          let dx = try backend.ordinalLogitsGradient(
            backend.operand(g, parameters.count, view: !view), x: input, parameters: numbers, sum: sum)
          #expect(dx.shape == [x.count, 1])
          let expected = Reference.ordinalLogitsGradient(
            g.doubles, x: x.doubles, parameters: parameters.doubles, sum: start.doubles)
          let tolerance = Tolerances.ordinalLogitsGradient(rows: x.count)
          try expectClose(backend, dx, expected.x, tolerance, "\(parameters), dx")
          try expectClose(backend, sum, expected.parameters, tolerance, "\(parameters), parameters")
        }
      }
      let (x, two) = (try backend.matrix([1, 2], 1), try backend.vector([1, 2]))
      expectShapeMismatch { _ = try backend.ordinalLogits(x, parameters: backend.vector([1])) }
      expectShapeMismatch { _ = try backend.ordinalLogits(backend.matrix([1, 2], 2), parameters: two) }
      for (g, sum) in [(x, two), (try backend.matrix([1, 2, 3, 4], 2), try backend.vector([1, 2, 3]))] {
        expectShapeMismatch {
          _ = try backend.ordinalLogitsGradient(g, x: x, parameters: two, sum: sum)
        }
      }
    }
  }
}
