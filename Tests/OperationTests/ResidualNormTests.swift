import Basics
import CPUBackend
import OpenCLBackend
import Tensors
import TestSupport
import Testing

extension Operations {
  /// Operations that one pass over memory does, against the operations that they stand for.
  @Suite struct ResidualNormTests {
    /// The last is wider than what an item of a GPU keeps of a row.
    static let sizes = [(1, 1), (3, 16), (5, 127), (130, 128), (65, 129), (70, 384), (2, 4100)]

    struct Operands {
      let x: Tensor
      let residual: Tensor
      let weight: Tensor
      let bias: Tensor
      let gradient: Tensor
      let backend: any TrainingBackend

      init(_ rows: Int, _ width: Int, _ backend: any TrainingBackend) throws {
        self.backend = backend
        var random = TestRandom(UInt64(rows * 1000 + width))
        x = try backend.columns(random.activations(rows * width), width)
        (residual, gradient) = (
          try backend.matrix(random.activations(rows * width), width),
          try backend.matrix(random.activations(rows * width), width)
        )
        weight = try backend.vector(random.floats(width, in: 0.5...1.5))
        bias = try backend.vector(random.floats(width))
      }

      /// A vector of ones, to be added to.
      func sum() throws -> Tensor { try backend.vector([Float](repeating: 1, count: weight.shape.count)) }
    }

    @Test(arguments: BackendUnderTest.trainers, [0, 0.1])
    func residualNormIsDropoutAddAndNorm(_ backend: BackendUnderTest, _ rate: Float) throws {
      let backend = try backend.trainer
      for (rows, width) in Self.sizes {
        let o = try Operands(rows, width, backend)
        let kept = try backend.dropout(o.x, rate: rate, key: 7, stream: 1 << 40)
        let sum = try backend.add(o.residual, kept)
        let y = try backend.layerNorm(sum, weight: o.weight, bias: o.bias, epsilon: 1e-5)
        let draws = DropoutDraws(rate: rate, key: 7, stream: 1 << 40)
        let actual = try backend.residualNorm(
          o.x, residual: o.residual, weight: o.weight, bias: o.bias, epsilon: 1e-5, draws)
        #expect(try backend.read(actual.sum) == backend.read(sum), "[\(rows), \(width)]")
        #expect(try backend.read(actual.y) == backend.read(y), "[\(rows), \(width)]")

        let (sums, expected) = (try (0..<3).map { _ in try o.sum() }, try (0..<3).map { _ in try o.sum() })
        let gradients = try backend.residualNormGradient(
          o.gradient, sum: sum, weight: o.weight, epsilon: 1e-5, draws, weightSum: sums[0], biasSum: sums[1],
          columnSum: sums[2])
        let residual = try backend.layerNormGradient(
          o.gradient, x: sum, weight: o.weight, epsilon: 1e-5, weightSum: expected[0], biasSum: expected[1])
        let x = try backend.dropout(residual, rate: rate, key: 7, stream: 1 << 40)
        try backend.addColumnSums(x, to: expected[2])
        #expect(try backend.read(gradients.residual) == backend.read(residual), "[\(rows), \(width)]")
        #expect(try backend.read(gradients.x) == backend.read(x), "[\(rows), \(width)]")
        #expect(try sums.map(backend.read) == expected.map(backend.read), "[\(rows), \(width)]")
      }
    }

    @Test(arguments: BackendUnderTest.trainers, GELU.Form.allCases)
    func geluGradientAddsItsColumns(_ backend: BackendUnderTest, _ form: GELU.Form) throws {
      let backend = try backend.trainer
      for (rows, width) in Self.sizes {
        let o = try Operands(rows, width, backend)
        let (sum, expected) = (try o.sum(), try o.sum())
        let actual = try backend.geluGradient(o.gradient, x: o.x, form, columnSum: sum)
        let gradient = try backend.geluGradient(o.gradient, x: o.x, form)
        try backend.addColumnSums(gradient, to: expected)
        #expect(try backend.read(actual) == backend.read(gradient), "[\(rows), \(width)]")
        #expect(try backend.read(sum) == backend.read(expected), "[\(rows), \(width)]")
      }
    }

    @Test(arguments: BackendUnderTest.openCL)
    func halvesOfALayerAreFewLaunches(_ backend: BackendUnderTest) throws {
      let backend = try #require(try backend.backend as? OpenCLBackend)
      let o = try Operands(130, 128, backend)
      let draws = DropoutDraws(rate: 0.1, key: 7, stream: 1)
      let sums = try (0..<4).map { _ in try o.sum() }
      let profiler = Profiler()
      backend.profiler = profiler
      defer { backend.profiler = nil }
      let forward = try backend.residualNorm(
        o.x, residual: o.residual, weight: o.weight, bias: o.bias, epsilon: 1e-5, draws)
      _ = try backend.residualNormGradient(
        o.gradient, sum: forward.sum, weight: o.weight, epsilon: 1e-5, draws, weightSum: sums[0],
        biasSum: sums[1], columnSum: sums[2])
      _ = try backend.geluGradient(o.gradient, x: o.x, .exact, columnSum: sums[3])
      _ = try backend.read(sums[3])
      let kernels = profiler.kernelTotals
      func launches(_ operation: String) -> Int {
        kernels.filter { $0.operation == operation }.reduce(0) { $0 + $1.calls }
      }
      #expect(launches(ResidualNorm.name) == 1)
      // Rows, the blocks' sums, and the totals of all three sums.
      #expect(launches(RowGradient<ResidualNorm>.name) == 3)
      #expect(launches(RowGradient<GELU>.name) == 2)
    }

    @Test func firstRowsHaveTheGradientsOfWholeAttention() throws {
      let backend = try CPUBackend(threads: 2)
      let (heads, headDim) = (3, 20)
      let width = heads * headDim
      let packed = try EncoderTests.batch([1, 5, 40, 17])
      let batch = try backend.prepare(packed)
      var random = TestRandom(1)
      let first = packed.starts.dropLast().map(Int.init)
      var (queries, gradients) = (
        [Float](repeating: 0, count: packed.rows * width), [Float](repeating: 0, count: packed.rows * width)
      )
      let (some, g) = (random.activations(first.count * width), random.floats(first.count * width))
      for (sequence, row) in first.enumerated() {
        queries.replaceSubrange(
          row * width..<(row + 1) * width, with: some[sequence * width..<(sequence + 1) * width])
        gradients.replaceSubrange(
          row * width..<(row + 1) * width, with: g[sequence * width..<(sequence + 1) * width])
      }
      let keyValue = try backend.upload(
        random.activations(packed.rows * 2 * width), shape: [packed.rows, 2 * width])
      let (key, value) = (try keyValue.columns(0..<width), try keyValue.columns(width..<2 * width))
      let whole = try backend.upload(queries, shape: [packed.rows, width])
      let forward = try backend.encoderAttention(
        query: whole, key: key, value: value, heads: heads, scale: 0.3, causal: false, precision: .f32,
        wantsLogSumExp: true, batch)
      let joint = try backend.encoderAttentionGradient(
        backend.upload(gradients, shape: [packed.rows, width]), query: whole, key: key, value: value,
        output: forward.output, logSumExp: #require(forward.logSumExp), heads: heads, scale: 0.3,
        causal: false,
        precision: .f32, batch)
      let actual = try backend.firstRowAttentionGradient(
        backend.upload(g, shape: [first.count, width]),
        query: backend.upload(some, shape: [first.count, width]),
        key: key, value: value, heads: heads, scale: 0.3, batch)
      let pairs = try [
        (actual.query, backend.gatherRows(joint.columns(0..<width), first.map(Int32.init))),
        (
          actual.keyValue,
          backend.gatherRows(joint.columns(width..<3 * width), (0..<Int32(packed.rows)).map { $0 })
        ),
      ]
      for (one, other) in pairs {
        let (one, other) = (try backend.read(one), try backend.read(other))
        #expect(one.count == other.count && zip(one, other).allSatisfy { abs($0 - $1) < 1e-5 })
      }
    }

    @Test func adamWThatClearsLeavesTheSameNumbers() throws {
      let backend = try CPUBackend(threads: 2)
      let width = 1000
      var random = TestRandom(3)
      // Whole groups without gradients, of which some have moments.
      let gradient = random.floats(width).enumerated()
        .map {
          (200..<800).contains($0.offset) ? 0 : $0.element
        }
      let moment = random.floats(width, in: 0...1).enumerated()
        .map { (300..<700).contains($0.offset) ? 0 : $0.element }
      let values = random.floats(width)
      let step = AdamWStep(learningRate: 0.1, weightDecay: 0.2, step: 3, gradientScale: 0.5)
      let both = try (0..<2).map { place in
        let tensors = try [values, gradient, moment, moment].map { try backend.upload($0, shape: [width]) }
        let run = place == 0 ? backend.adamW : backend.adamWClearing
        try run(tensors[0], tensors[1], tensors[2], tensors[3], step)
        return try tensors.map(backend.read)
      }
      #expect(both[0][1] == gradient)
      #expect(both[1][1].allSatisfy { $0 == 0 })
      for place in [0, 2, 3] { #expect(both[0][place] == both[1][place]) }
      for (place, value) in values.enumerated() {
        let g = Double(gradient[place]) * 0.5
        let first = 0.9 * Double(moment[place]) + 0.1 * g
        let second = 0.999 * Double(moment[place]) + 0.001 * g * g
        let root = (second / (1 - Basics.power(0.999, 3))).squareRoot() + 1e-8
        let expected = Double(value) * 0.98 - 0.1 * first / (1 - Basics.power(0.9, 3)) / root
        #expect(abs(Double(both[1][0][place]) - expected) < 1e-5, "\(place)")
      }
    }
  }
}
