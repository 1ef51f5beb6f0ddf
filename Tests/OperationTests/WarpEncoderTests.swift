import Basics
import OpenCLBackend
import OpenCLRuntime
import Tensors
import TestSupport
import Testing

extension Operations {
  /// The encoder's attention and its gradient on tensor cores: as they are where the device has them, elsewhere with
  /// emulated warp instructions.
  @Suite struct WarpEncoderTests {
    struct Case: Sendable, CustomTestStringConvertible {
      let heads: Int
      let kvHeads: Int
      let headDim: Int
      let causal: Bool
      /// Columns of wider tensors, which kernels read number by number.
      let views: Bool
      var testDescription: String {
        "\(heads) heads of \(headDim), \(kvHeads) key heads\(causal ? ", causal" : "")\(views ? ", views" : "")"
      }
    }

    /// The students' heads, and heads of which not even keys stay in registers.
    static let cases = [
      Case(heads: 2, kvHeads: 2, headDim: 32, causal: false, views: false),
      Case(heads: 4, kvHeads: 2, headDim: 32, causal: true, views: false),
      Case(heads: 1, kvHeads: 1, headDim: 64, causal: true, views: false),
      Case(heads: 3, kvHeads: 1, headDim: 80, causal: true, views: true),
    ]
    /// Both sides of the ends of sixteens, tiles and groups.
    static let lengths = [1, 17, 64, 81]

    @Test(arguments: cases)
    func attentionAndItsGradientFollowTheReference(_ place: Case) throws {
      let backend = try WarpBackend.make()
      try EncoderTests.check(
        backend, Self.lengths, heads: place.heads, kvHeads: place.kvHeads, headDim: place.headDim,
        causal: place.causal, precision: .bf16, views: place.views)
      let problem = try EncoderGradientTests.Problem(
        Self.lengths, heads: place.heads, kvHeads: place.kvHeads, headDim: place.headDim, causal: place.causal
      )
      try problem.check(backend, .bf16, views: place.views)
    }

    /// Scores that make a weight of 1 and others of 0, over several tiles.
    @Test func sharpScoresStayFinite() throws {
      try EncoderTests.check(
        WarpBackend.make(), [200], heads: 1, headDim: 32, precision: .bf16, views: false, sharpness: 40)
    }

    @Test func aSequenceIsTheSameBitsAloneAndInABatch() throws {
      let backend = try WarpBackend.make()
      let problem = try EncoderGradientTests.Problem(
        [9, 70, 1, 17, 64], heads: 4, kvHeads: 2, headDim: 32, causal: true)
      func attend(_ rows: Range<Int>) throws -> [Float] {
        func tensor(_ values: [Float], _ width: Int) throws -> Tensor {
          try backend.matrix(Array(values[(rows.lowerBound * width)..<(rows.upperBound * width)]), width)
        }
        let packed =
          rows.count == problem.packed.rows
          ? problem.packed : try PackedBatch(tokenIDs: [Array(problem.packed.tokenIDs[rows])])
        return try backend.read(
          backend.encoderAttention(
            query: tensor(problem.query, problem.width), key: tensor(problem.key, problem.keyWidth),
            value: tensor(problem.value, problem.keyWidth), heads: 4, scale: problem.scale, causal: true,
            precision: .bf16, wantsLogSumExp: false, backend.prepare(packed)
          ).output)
      }
      let (whole, gradient) = (
        try attend(0..<problem.packed.rows), try backend.read(problem.run(backend, .bf16))
      )
      for sequence in 0..<problem.packed.sequences {
        let rows = problem.packed.rows(of: sequence)
        func part(_ width: Int) -> Range<Int> { (rows.lowerBound * width)..<(rows.upperBound * width) }
        #expect(Judge.bitDifference(try attend(rows)[...], whole[part(problem.width)]) == nil, "\(sequence)")
        let alone = try backend.read(problem.run(backend, .bf16, sequence: sequence))
        #expect(Judge.bitDifference(alone[...], gradient[part(problem.joint)]) == nil, "\(sequence)")
      }
    }

    /// Operands are rounded only where bfloat16 was asked for.
    @Test func inFloat32ThePortableKernelsServe() throws {
      let backends = [
        try WarpBackend.make(),
        try OpenCLBackend(device: OpenCLPlatforms.devices()[0], family: .gpu, features: .portable),
      ]
      let problem = try EncoderGradientTests.Problem([20], heads: 2, kvHeads: 1, headDim: 32, causal: false)
      let gradients = try backends.map { try $0.read(problem.run($0, .f32)) }
      #expect(Judge.bitDifference(gradients[0][...], gradients[1][...]) == nil)
      #expect(
        Judge.bitDifference(gradients[0][...], try backends[0].read(problem.run(backends[0], .bf16))[...])
          != nil)
      for backend in backends {
        try EncoderTests.check(backend, [20], heads: 2, headDim: 32, precision: .f32, views: false)
      }
    }
  }
}
