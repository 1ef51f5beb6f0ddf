import Basics
import CPUBackend
import OpenCLBackend
import Tensors
import TestSupport
import Testing

extension Operations {
  /// What only training needs, besides gradients and losses.
  @Suite struct TrainingOperationTests {
    @Test(arguments: BackendUnderTest.trainers)
    func columnsAreAddedToTheirSum(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      for (index, (rows, width)) in (GradientTests.sizes + [(64, 17), (65, 5), (1000, 20)]).enumerated() {
        var random = TestRandom(UInt64(index))
        let (x, start) = (random.activations(rows * width), random.floats(width))
        let sum = try backend.sum(start)
        try backend.addColumnSums(backend.operand(x, width, view: index % 2 == 1), to: sum)
        try expectClose(
          backend, sum, Reference.columnSums(x.doubles, sum: start.doubles), Tolerances.sum(rows + 1),
          "[\(rows), \(width)]")
      }
      expectShapeMismatch { try backend.addColumnSums(backend.matrix([1, 2], 2), to: backend.vector([1])) }
    }

    @Test(arguments: BackendUnderTest.trainers)
    func scatteredRowsAreAddedInTheirOrder(_ backend: BackendUnderTest) throws {
      let trainer = try backend.trainer
      for (width, view) in [(1, false), (7, true), (64, true), (130, false)] {
        var random = TestRandom(UInt64(width))
        let indices = random.ids(90, below: 11).map { $0 == 3 ? 4 : $0 }
        let g = random.activations(indices.count * width)
        let start = random.floats(11 * width)
        let sum = try trainer.operand(start, width, view: view)
        try trainer.scatterAddRows(trainer.operand(g, width, view: !view), indices, to: sum)
        let values = try trainer.read(sum)
        // One sum in Float32 after another: the order shows in the bits.
        var expected = start
        for (row, index) in indices.enumerated() {
          for c in 0..<width { expected[Int(index) * width + c] += g[row * width + c] }
        }
        if trainer is ReferenceBackend {
          try expectClose(
            trainer, sum,
            Reference.scatterAddRows(g.doubles, indices, width: width, sum: start.doubles),
            Tolerances.sum(1))
        } else {
          #expect(Judge.bitDifference(values[...], expected[...]) == nil, "width \(width)")
        }
      }
      let (g, sum) = (try trainer.matrix([1, 2, 3, 4], 2), try trainer.matrix([0, 0, 0, 0], 2))
      try trainer.scatterAddRows(trainer.matrix([], 2), [], to: sum)
      #expect(try trainer.read(sum) == [0, 0, 0, 0])
      for indices: [Int32] in [[0, 2], [-1, 0], [0]] {
        expectShapeMismatch { try trainer.scatterAddRows(g, indices, to: sum) }
      }
    }

    @Test(arguments: BackendUnderTest.trainers)
    func scalingFollowsTheReference(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      for (index, (rows, groups, size)) in [(1, 1, 1), (2, 3, 5), (7, 1, 130), (33, 12, 32), (5, 70, 1)]
        .enumerated()
      {
        var random = TestRandom(UInt64(index))
        let (width, view) = (groups * size, index % 2 == 1)
        let (x, other) = (random.activations(rows * width), random.floats(rows * width))
        let (factors, bias) = (random.floats(width), random.floats(width))
        let perGroup = random.floats(rows * groups)
        let input = try backend.operand(x, width, view: view)
        try expectClose(
          backend, backend.scale(input, by: -0.3),
          Reference.scaleGroups(x.doubles, by: x.map { _ in Double(Float(-0.3)) }), Tolerances.scaling,
          "scale")
        try expectClose(
          backend, backend.scaleGroups(input, by: backend.operand(perGroup, groups, view: !view)),
          Reference.scaleGroups(x.doubles, by: perGroup.doubles), Tolerances.scaling, "groups")
        for bias in [nil, bias] {
          try expectClose(
            backend, backend.scaleColumns(input, by: backend.sum(factors), bias: bias.map(backend.sum)),
            Reference.scaleColumns(x.doubles, by: factors.doubles, bias: bias?.doubles), Tolerances.scaling,
            "columns")
        }
        let dots = try backend.rowDots(input, backend.operand(other, width, view: !view), groups: groups)
        #expect(dots.shape == [rows, groups])
        try expectClose(
          backend, dots, Reference.rowDots(x.doubles, other.doubles, groupWidth: size), Tolerances.sum(size),
          "dots")
      }
      let a = try backend.matrix([1, 2, 3, 4, 5, 6], 3)
      expectShapeMismatch { _ = try backend.rowDots(a, a, groups: 2) }
      expectShapeMismatch { _ = try backend.rowDots(a, a, groups: 0) }
      expectShapeMismatch { _ = try backend.rowDots(a, backend.matrix([1, 2, 3], 3), groups: 1) }
      expectShapeMismatch { _ = try backend.scaleGroups(a, by: backend.matrix([1, 2, 3, 4], 2)) }
      expectShapeMismatch { _ = try backend.scaleColumns(a, by: backend.vector([1, 2]), bias: nil) }
      expectShapeMismatch {
        _ = try backend.scaleColumns(a, by: backend.vector([1, 2, 3]), bias: backend.vector([1]))
      }
      expectShapeMismatch { _ = try backend.scale(backend.vector([1]), by: 2) }
    }

    @Test(arguments: BackendUnderTest.trainers)
    func dropoutDrawsTheWordsOfPhilox(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      for (index, (rows, width)) in (GradientTests.sizes + [(3, 200), (2, 65)]).enumerated() {
        var random = TestRandom(UInt64(index))
        let x = random.floats(rows * width, in: 0.5...1)
        let (key, stream) = (random.next(), random.next())
        let words = Reference.dropoutWords(rows: rows, width: width, key: key, stream: stream)
        for rate: Float in [0, 0.1, 0.5, 0.999] {
          let actual = try backend.read(
            backend.dropout(
              backend.operand(x, width, view: index % 2 == 1), rate: rate, key: key, stream: stream))
          let expected = Reference.dropout(x.doubles, words: words, rate: Double(rate))
          #expect(
            Judge.complaint(actual, expected, tolerance: Tolerances.dropout, width: width) == nil,
            "[\(rows), \(width)] at \(rate)")
          // No tolerance for which elements stay.
          #expect(actual.map { $0 == 0 } == words.map { $0 < Dropout.threshold(rate) })
        }
      }
      let a = try backend.matrix([1, 2], 2)
      for rate: Float in [-0.1, 1, .nan] {
        expectShapeMismatch { _ = try backend.dropout(a, rate: rate, key: 0, stream: 0) }
      }
    }

    @Test(arguments: BackendUnderTest.trainers, [RoPE.Pairing.neighbours, .halves])
    func packedRowsTurnAtTheirPositionsAndBack(_ backend: BackendUnderTest, _ pairing: RoPE.Pairing) throws {
      let backend = try backend.trainer
      let packed = try packedBatch([3, 1, 40, 9])
      for (headDim, rotary, heads) in [(8, 8, 3), (64, 64, 2), (20, 6, 1)] {
        let spec = RoPE(headDim: headDim, rotaryDim: rotary, base: 10_000, positionScale: 2, pairing: pairing)
        let width = headDim * heads
        var random = TestRandom(UInt64(width))
        let x = random.activations(packed.rows * width)
        for inverse in [false, true] {
          let actual = try backend.rope(
            backend.operand(x, width, view: inverse), spec, inverse: inverse, backend.prepare(packed))
          #expect(actual.shape == [packed.rows, width])
          try expectClose(
            backend, actual,
            Reference.rope(x.doubles, width: width, spec, inverse: inverse, positions: packed.positions),
            Tolerances.rope, "heads of \(headDim), inverse \(inverse)")
        }
      }
      let odd = RoPE(headDim: 4, rotaryDim: 3, base: 10, pairing: pairing)
      let x = try backend.matrix([Float](repeating: 1, count: packed.rows * 4), 4)
      expectShapeMismatch { _ = try backend.rope(x, odd, inverse: true, backend.prepare(packed)) }
    }

    @Test(arguments: BackendUnderTest.trainers)
    func adamWStepsFollowTheReference(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      for (index, shape) in [[1], [7], [3, 64], [130, 37], [1, 5000]].enumerated() {
        var random = TestRandom(UInt64(index))
        let count = shape.reduce(1, *)
        var (p, m) = (random.activations(count), random.floats(count, in: -0.1...0.1))
        var v = random.floats(count, in: 0...0.01)
        v[0] = 0
        m[0] = 0
        let tensors = try [p, m, v].map { try backend.upload($0, shape: Shape(shape)) }
        for number in [1, 2, 1000] {
          var g = random.floats(count)
          g[0] = 0
          let step = AdamWStep(
            learningRate: 0.01, weightDecay: 0.1, step: number, gradientScale: number == 2 ? 0.25 : 1)
          try backend.adamW(
            tensors[0], gradient: backend.upload(g, shape: Shape(shape)), firstMoment: tensors[1],
            secondMoment: tensors[2], step)
          let expected = Reference.adamW(
            p.doubles, gradient: g.doubles, firstMoment: m.doubles, secondMoment: v.doubles, step)
          try expectClose(backend, tensors[0], expected.parameter, Tolerances.adamW, "parameter, \(shape)")
          try expectClose(backend, tensors[1], expected.firstMoment, Tolerances.adamW, "m, \(shape)")
          try expectClose(backend, tensors[2], expected.secondMoment, Tolerances.adamW, "v, \(shape)")
          // From what this backend stored: errors of one step are judged, not of all.
          (p, m, v) = (
            try backend.read(tensors[0]), try backend.read(tensors[1]), try backend.read(tensors[2])
          )
        }
      }
      let (a, b) = (try backend.vector([1, 2]), try backend.vector([1, 2, 3]))
      let step = AdamWStep(learningRate: 1, weightDecay: 0, step: 1)
      expectShapeMismatch { try backend.adamW(a, gradient: b, firstMoment: a, secondMoment: a, step) }
      expectShapeMismatch { try backend.adamW(a, gradient: a, firstMoment: b, secondMoment: a, step) }
      expectShapeMismatch { try backend.adamW(a, gradient: a, firstMoment: a, secondMoment: b, step) }
    }

    @Test(arguments: BackendUnderTest.trainers)
    func squaresOfAllTensorsAddUp(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      #expect(try backend.sumOfSquares([]) == 0)
      #expect(try backend.sumOfSquares([backend.vector([3]), backend.matrix([4, 0], 1)]) == 25)
      for counts in [[1], [16, 17], [4095, 4096, 4097], [70_000, 3]] {
        var random = TestRandom(UInt64(counts.count))
        let values = counts.map { random.activations($0) }
        let actual = try backend.sumOfSquares(values.map { try backend.vector($0) })
        let expected = values.joined().reduce(0.0) { $0 + Double($1) * Double($1) }
        #expect((actual - expected).magnitude <= Tolerances.sumOfSquares * expected, "\(counts)")
      }
      let rows = try backend.matrix([1, 2, 3, 4, 5, 6], 2)
      #expect(try backend.sumOfSquares([rows.rows(1..<3)]) == 9 + 16 + 25 + 36)
    }

    @Test(arguments: BackendUnderTest.trainers)
    func tensorsAreWrittenAndClearedInPlace(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      let whole = try backend.matrix([1, 2, 3, 4, 5, 6, 7, 8], 2)
      try backend.write([9, 10, 11, 12], to: whole.rows(1..<3))
      #expect(try backend.read(whole) == [1, 2, 9, 10, 11, 12, 7, 8])
      try backend.zero(whole.rows(2..<3))
      #expect(try backend.read(whole) == [1, 2, 9, 10, 0, 0, 7, 8])
      try backend.zero(whole)
      #expect(try backend.read(whole) == [Float](repeating: 0, count: 8))
      expectShapeMismatch { try backend.write([1, 2, 3], to: whole) }
    }
  }
}
