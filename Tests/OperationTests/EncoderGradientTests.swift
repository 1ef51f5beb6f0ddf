import Basics
import CPUBackend
import OpenCLBackend
import Tensors
import TestSupport
import Testing

/// What the tests of attention's gradient need of a backend.
protocol AttentionGradientBackend: Backend {
  func encoderAttentionGradient(
    _ gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor, logSumExp: Tensor,
    heads: Int, scale: Float, causal: Bool, precision: DType, _ batch: any PreparedPackedBatch
  ) throws -> Tensor
}

extension ReferenceBackend: AttentionGradientBackend {}
extension CPUBackend: AttentionGradientBackend {}
extension OpenCLBackend: AttentionGradientBackend {}

extension Operations {
  @Suite struct EncoderGradientTests {
    /// A gradient's operands, with the forward's results from the reference.
    struct Problem {
      let packed: PackedBatch
      let heads: Int
      let kvHeads: Int
      let headDim: Int
      let causal: Bool
      let scale: Float
      var query: [Float]
      var key: [Float]
      var value: [Float]
      var gradient: [Float]
      let output: [Float]
      let logSumExp: [Float]

      var width: Int { heads * headDim }
      var keyWidth: Int { kvHeads * headDim }
      var joint: Int { width + 2 * keyWidth }

      init(_ lengths: [Int], heads: Int, kvHeads: Int, headDim: Int, causal: Bool) throws {
        packed = try EncoderTests.batch(lengths)
        (self.heads, self.kvHeads, self.headDim, self.causal) = (heads, kvHeads, headDim, causal)
        scale = 1 / Float(headDim).squareRoot()
        var random = TestRandom(UInt64(heads * headDim))
        query = random.activations(packed.rows * heads * headDim)
        key = random.activations(packed.rows * kvHeads * headDim)
        value = random.activations(packed.rows * kvHeads * headDim)
        gradient = random.floats(packed.rows * heads * headDim)
        let forward = Reference.encoderAttention(
          query.doubles, key.doubles, value.doubles, heads: heads, scale: Double(scale), causal: causal,
          packed)
        (output, logSumExp) = (forward.output.floats, forward.logSumExp.floats)
      }

      var expected: Reference.Result {
        Reference.encoderAttentionGradient(
          gradient.doubles, query: query.doubles, key: key.doubles, value: value.doubles, heads: heads,
          scale: Double(scale), causal: causal, packed)
      }

      /// The gradient as `backend` computes it; `views` reads operands that are columns among others.
      func run(
        _ backend: any Backend, _ precision: DType, views: Bool = false, sequence: Int? = nil
      ) throws -> Tensor {
        let backend = try #require(backend as? any AttentionGradientBackend)
        let rows = sequence.map(packed.rows) ?? 0..<packed.rows
        let batch =
          try sequence == nil
          ? packed : PackedBatch(tokenIDs: [Array(packed.tokenIDs[rows])])
        func tensor(_ values: [Float], _ width: Int, _ before: Int) throws -> Tensor {
          let own = Array(values[(rows.lowerBound * width)..<(rows.upperBound * width)])
          return try views
            ? backend.columns(own, width, before: before, after: 2) : backend.matrix(own, width)
        }
        return try backend.encoderAttentionGradient(
          tensor(gradient, width, 3), query: tensor(query, width, 0), key: tensor(key, keyWidth, 5),
          value: tensor(value, keyWidth, 1), output: tensor(output, width, 2),
          logSumExp: tensor(logSumExp, heads, 7), heads: heads, scale: scale, causal: causal,
          precision: precision, backend.prepare(batch))
      }

      func check(_ backend: any Backend, _ precision: DType, views: Bool = false) throws {
        let actual = try run(backend, precision, views: views)
        #expect(actual.shape == [packed.rows, joint])
        let tolerance = Tolerances.encoderAttentionGradient(
          headDim: headDim, length: packed.longest, group: heads / kvHeads, precision: precision)
        try expectClose(
          backend, actual, expected, tolerance,
          "\(heads) heads of \(headDim), \(kvHeads) key heads, \(causal ? "causal, " : "")\(precision)")
      }
    }

    /// Heads and key heads.
    static let shapes = [(2, 2), (3, 3), (4, 2), (3, 1)]

    @Test(arguments: BackendUnderTest.all, [DType.f32, .bf16])
    func theGradientOfEveryHeadSizeFollowsTheReference(_ backend: BackendUnderTest, _ precision: DType) throws
    {
      let backend = try backend.backend
      for (index, size) in [1, 7, 16, 24, 32, 40, 64, 80, 128, 256].enumerated() {
        let (heads, kvHeads) = Self.shapes[index % 4]
        let problem = try Problem(
          [5, 17, 1, 20], heads: heads, kvHeads: kvHeads, headDim: size, causal: index / 2 % 2 == 1)
        try problem.check(backend, precision, views: index % 2 == 1)
      }
    }

    @Test(arguments: BackendUnderTest.all, [false, true])
    func theGradientOfEveryLengthFollowsTheReference(_ backend: BackendUnderTest, causal: Bool) throws {
      for (heads, kvHeads) in [(2, 2), (2, 1)] {
        let problem = try Problem(
          [1, 2, 63, 64, 65, 130, 17, 7], heads: heads, kvHeads: kvHeads, headDim: 8, causal: causal)
        for precision in [DType.f32, .bf16] { try problem.check(backend.backend, precision, views: true) }
      }
    }

    @Test(arguments: BackendUnderTest.all, [false, true])
    func theGradientIsTheForwardsSlope(_ backend: BackendUnderTest, causal: Bool) throws {
      let problem = try Problem([3, 1], heads: 2, kvHeads: 1, headDim: 3, causal: causal)
      let actual = try backend.backend.read(problem.run(backend.backend, .f32))
      func loss(_ q: [Double], _ k: [Double], _ v: [Double]) -> Double {
        let output = Reference.encoderAttention(
          q, k, v, heads: 2, scale: Double(problem.scale), causal: causal, problem.packed
        ).output.values
        return zip(output, problem.gradient).reduce(0) { $0 + $1.0 * Double($1.1) }
      }
      let parts = [problem.query.doubles, problem.key.doubles, problem.value.doubles]
      let (step, starts) = (1e-5, [0, problem.width, problem.width + problem.keyWidth])
      for (part, values) in parts.enumerated() {
        let width = values.count / problem.packed.rows
        for index in values.indices {
          let sides = [step, -step].map { change in
            var moved = parts
            moved[part][index] += change
            return loss(moved[0], moved[1], moved[2])
          }
          let place = index / width * problem.joint + starts[part] + index % width
          let slope = (sides[0] - sides[1]) / (2 * step)
          #expect((Double(actual[place]) - slope).magnitude < 1e-5, "operand \(part), element \(index)")
        }
      }
    }

    @Test(arguments: BackendUnderTest.all, [DType.f32, .bf16])
    func aSequencesGradientIsTheSameBitsAloneAndInABatch(
      _ backend: BackendUnderTest, _ precision: DType
    ) throws {
      let backend = try backend.backend
      let problem = try Problem([9, 70, 1, 17, 64], heads: 4, kvHeads: 2, headDim: 24, causal: true)
      let whole = try backend.read(problem.run(backend, precision))
      for index in 0..<problem.packed.sequences {
        let rows = problem.packed.rows(of: index)
        let range = (rows.lowerBound * problem.joint)..<(rows.upperBound * problem.joint)
        let alone = try backend.read(problem.run(backend, precision, views: true, sequence: index))
        #expect(Judge.bitDifference(alone[...], whole[range]) == nil, "sequence \(index)")
      }
    }

    @Test(arguments: [DType.f32, .bf16])
    func oneThreadAndTwoGiveTheSameGradient(_ precision: DType) throws {
      let problem = try Problem([40, 9, 70, 3], heads: 4, kvHeads: 2, headDim: 32, causal: false)
      let results = try [1, 2, 2].map { threads in
        let backend = try CPUBackend(threads: threads)
        return try backend.read(problem.run(backend, precision))
      }
      for other in results[1...] { #expect(Judge.bitDifference(results[0][...], other[...]) == nil) }
    }

    @Test(arguments: BackendUnderTest.all)
    func aBatchWithoutSequencesHasAnEmptyGradient(_ backend: BackendUnderTest) throws {
      let problem = try Problem([], heads: 2, kvHeads: 1, headDim: 4, causal: false)
      let gradient = try #require(backend.backend as? any AttentionGradientBackend)
      let (wide, narrow) = (try gradient.allocate([0, 8], .f32), try gradient.allocate([0, 4], .f32))
      let result = try gradient.encoderAttentionGradient(
        wide, query: wide, key: narrow, value: narrow, output: wide,
        logSumExp: gradient.allocate([0, 2], .f32),
        heads: 2, scale: 1, causal: false, precision: .f32, gradient.prepare(problem.packed))
      #expect(result.shape == [0, 16])
    }

    @Test(arguments: BackendUnderTest.all)
    func gradientsThatDoNotFitThrow(_ backend: BackendUnderTest) throws {
      let backend = try #require(backend.backend as? any AttentionGradientBackend)
      let prepared = try backend.prepare(EncoderTests.batch([2, 1]))
      func zeros(_ rows: Int, _ width: Int) throws -> Tensor {
        try backend.matrix([Float](repeating: 0, count: rows * width), width)
      }
      let (wide, half, sums) = (try zeros(3, 8), try zeros(3, 4), try zeros(3, 2))
      func gradient(
        _ g: Tensor, _ q: Tensor, _ k: Tensor, _ v: Tensor, _ o: Tensor, _ s: Tensor, heads: Int = 2
      ) throws {
        _ = try backend.encoderAttentionGradient(
          g, query: q, key: k, value: v, output: o, logSumExp: s, heads: heads, scale: 1, causal: false,
          precision: .f32, prepared)
      }
      try gradient(wide, wide, half, half, wide, sums)
      expectShapeMismatch { try gradient(half, wide, half, half, wide, sums) }
      expectShapeMismatch { try gradient(wide, wide, half, wide, wide, sums) }
      expectShapeMismatch { try gradient(wide, wide, half, half, half, sums) }
      expectShapeMismatch { try gradient(wide, wide, half, half, wide, half) }
      expectShapeMismatch { try gradient(wide, wide, sums, sums, wide, sums) }
      expectShapeMismatch { try gradient(wide, wide, half, half, wide, sums, heads: 3) }
      expectShapeMismatch { try gradient(zeros(2, 8), zeros(2, 8), half, half, wide, sums) }
    }
  }
}
