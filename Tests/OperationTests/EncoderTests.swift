import Basics
import Tensors
import TestSupport
import Testing

extension Operations {
  @Suite struct EncoderTests {
    /// Every number of rows of a tile and of groups of 16 tokens, and lengths on both sides of their ends.
    static let lengths = [1, 2, 3, 4, 5, 6, 7, 15, 16, 17, 31, 33, 48, 64, 65, 97, 130]

    static func batch(_ lengths: [Int], vocabulary: Int = 41) throws -> PackedBatch {
      var random = TestRandom(UInt64(lengths.reduce(0, +)))
      return try PackedBatch(
        tokenIDs: lengths.map { random.ids($0, below: vocabulary) },
        typeIDs: lengths.map { random.ids($0, below: 2) })
    }

    static func check(
      _ backend: any Backend, _ lengths: [Int], heads: Int, kvHeads: Int? = nil, headDim: Int,
      causal: Bool = false, precision: DType, views: Bool, sharpness: Float = 1
    ) throws {
      let packed = try batch(lengths)
      let width = heads * headDim
      let widths = [width, (kvHeads ?? heads) * headDim, (kvHeads ?? heads) * headDim]
      var random = TestRandom(UInt64(width))
      let parts = widths.map { random.activations(packed.rows * $0) }
      let tensors = try parts.enumerated().map { index, values in
        try views
          ? backend.columns(values, widths[index], before: index * 3, after: 2)
          : backend.matrix(values, widths[index])
      }
      let scale = sharpness / Float(headDim).squareRoot()
      let actual = try backend.encoderAttention(
        query: tensors[0], key: tensors[1], value: tensors[2], heads: heads, scale: scale,
        causal: causal, precision: precision, wantsLogSumExp: true, backend.prepare(packed))
      let expected = Reference.encoderAttention(
        parts[0].doubles, parts[1].doubles, parts[2].doubles, heads: heads, scale: Double(scale),
        causal: causal, packed)
      let tolerance = Tolerances.encoderAttention(
        headDim: headDim, length: packed.longest, precision: precision)
      #expect(actual.output.shape == [packed.rows, width])
      try expectClose(
        backend, actual.output, expected.output, tolerance, "\(heads) heads of \(headDim), \(precision)")
      let sums = try #require(actual.logSumExp)
      #expect(sums.shape == [packed.rows, heads])
      try expectClose(backend, sums, expected.logSumExp, tolerance, "log-sum-exp, heads of \(headDim)")
    }

    @Test(arguments: BackendUnderTest.all, [DType.f32, .bf16])
    func attentionOfEveryHeadSizeFollowsTheReference(_ backend: BackendUnderTest, _ precision: DType) throws {
      let backend = try backend.backend
      for (index, size) in [1, 7, 16, 24, 32, 40, 64, 80, 128, 256].enumerated() {
        try Self.check(
          backend, [5, 20, 1, 34], heads: 2, headDim: size, precision: precision, views: index % 2 == 1)
      }
    }

    @Test(arguments: BackendUnderTest.all, [DType.f32, .bf16])
    func attentionOfEveryLengthFollowsTheReference(_ backend: BackendUnderTest, _ precision: DType) throws {
      try Self.check(
        backend.backend, Self.lengths, heads: 3, headDim: 8, precision: precision, views: true)
    }

    @Test(arguments: BackendUnderTest.all, [DType.f32, .bf16])
    func causalAndGroupedAttentionFollowsTheReference(_ backend: BackendUnderTest, _ precision: DType) throws
    {
      let backend = try backend.backend
      for (heads, kvHeads, causal) in [(3, 3, true), (4, 2, true), (3, 1, false)] {
        try Self.check(
          backend, Self.lengths, heads: heads, kvHeads: kvHeads, headDim: 8, causal: causal,
          precision: precision, views: true)
      }
      try Self.check(
        backend, [5, 34], heads: 4, kvHeads: 2, headDim: 80, causal: true, precision: precision, views: false)
    }

    @Test(arguments: BackendUnderTest.all)
    func sharpScoresOverLongSequencesStayFinite(_ backend: BackendUnderTest) throws {
      try Self.check(
        backend.backend, [300], heads: 1, headDim: 16, precision: .f32, views: false, sharpness: 40)
    }

    @Test(arguments: BackendUnderTest.all, [DType.f32, .bf16])
    func aSequenceIsTheSameBitsAloneAndInABatch(_ backend: BackendUnderTest, _ precision: DType) throws {
      let backend = try backend.backend
      let lengths = [9, 40, 1, 17, 64]
      let packed = try Self.batch(lengths)
      let width = 2 * 24
      var random = TestRandom(5)
      let parts = (0..<3).map { _ in random.activations(packed.rows * width) }
      func attend(_ parts: [[Float]], _ batch: PackedBatch) throws -> ([Float], [Float]) {
        let tensors = try parts.map { try backend.matrix($0, width) }
        let prepared = try backend.prepare(batch)
        let result = try backend.encoderAttention(
          query: tensors[0], key: tensors[1], value: tensors[2], heads: 2, scale: 0.2, precision: precision,
          wantsLogSumExp: false, prepared)
        #expect(result.logSumExp == nil)
        return (try backend.read(result.output), try backend.read(backend.meanPool(result.output, prepared)))
      }
      let whole = try attend(parts, packed)
      for index in lengths.indices {
        let rows = packed.rows(of: index)
        let range = (rows.lowerBound * width)..<(rows.upperBound * width)
        let alone = try attend(
          parts.map { Array($0[range]) }, PackedBatch(tokenIDs: [Array(packed.tokenIDs[rows])]))
        #expect(Judge.bitDifference(alone.0[...], whole.0[range]) == nil, "sequence \(index)")
        let mean = whole.1[(index * width)..<((index + 1) * width)]
        #expect(Judge.bitDifference(alone.1[...], mean) == nil, "mean of sequence \(index)")
      }
    }

    @Test(arguments: BackendUnderTest.all, [DType.f32, .f16, .bf16, .q8_0])
    func tokensPositionsAndSegmentsAddUp(_ backend: BackendUnderTest, _ dtype: DType) throws {
      let backend = try backend.backend
      for width in dtype == .q8_0 ? [32, 96] : [1, 33, 64] {
        let packed = try Self.batch([3, 1, 9])
        let stored = [
          Stored.weight(dtype, 41, width), Stored.weight(.f32, 9, width), Stored.weight(.f32, 2, width),
        ]
        let tables = try stored.map { try backend.loadTable($0.source) }
        for types in [nil, tables[2]] {
          let ids = [packed.tokenIDs, packed.positions, types == nil ? [] : packed.typeIDs]
          var expected = Reference.Result(count: packed.rows * width)
          for (weight, ids) in zip(stored, ids) {
            for (row, id) in ids.enumerated() {
              for c in 0..<width {
                expected.values[row * width + c] += weight.values[Int(id) * width + c]
                expected.magnitudes[row * width + c] += 1
              }
            }
          }
          let actual = try backend.embeddingSum(
            words: tables[0], positions: tables[1], types: types, backend.prepare(packed))
          #expect(actual.shape == [packed.rows, width])
          try expectClose(backend, actual, expected, Tolerances.embeddingSum, "\(dtype), width \(width)")
        }
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func meansAndUnitVectorsFollowTheReference(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let packed = try Self.batch(Self.lengths)
      for (index, width) in [1, 7, 37, 64, 129, 576].enumerated() {
        var random = TestRandom(UInt64(width))
        let x = random.activations(packed.rows * width)
        let input = index % 2 == 0 ? try backend.matrix(x, width) : try backend.columns(x, width)
        let mean = try backend.meanPool(input, backend.prepare(packed))
        #expect(mean.shape == [packed.sequences, width])
        try expectClose(
          backend, mean, Reference.meanPool(x.doubles, width: width, packed),
          Tolerances.meanPool(length: packed.longest), "mean, width \(width)")
        let unit = try backend.l2Normalize(input, epsilon: 1e-12)
        #expect(unit.shape == [packed.rows, width])
        try expectClose(
          backend, unit, Reference.l2Normalize(x.doubles, width: width, epsilon: 1e-12),
          Tolerances.l2Normalize(width: width), "unit vectors, width \(width)")
      }
      let zeros = try backend.read(backend.l2Normalize(backend.matrix([0, 0, 0, 0], 4), epsilon: 1e-12))
      #expect(zeros == [0, 0, 0, 0])
    }

    @Test(arguments: BackendUnderTest.all)
    func operandsThatDoNotFitThrow(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let packed = try Self.batch([2, 1])
      let prepared = try backend.prepare(packed)
      let x = try backend.matrix([Float](repeating: 1, count: 18), 6)
      let narrow = try backend.matrix([Float](repeating: 1, count: 15), 5)
      let short = try backend.matrix([Float](repeating: 1, count: 12), 6)
      func attend(_ q: Tensor, _ k: Tensor, _ v: Tensor, _ heads: Int) throws {
        _ = try backend.encoderAttention(
          query: q, key: k, value: v, heads: heads, scale: 1, precision: .f32, wantsLogSumExp: false, prepared
        )
      }
      try attend(x, x, x, 2)
      expectShapeMismatch { try attend(x, narrow, x, 2) }
      expectShapeMismatch { try attend(x, narrow, narrow, 2) }
      let half = try backend.matrix([Float](repeating: 1, count: 9), 3)
      try attend(x, half, half, 2)
      expectShapeMismatch { try attend(half, x, x, 1) }
      expectShapeMismatch { try attend(x, x, short, 2) }
      expectShapeMismatch { try attend(short, short, short, 2) }
      expectShapeMismatch { try attend(x, x, x, 4) }
      expectShapeMismatch { try attend(x, x, x, 0) }
      expectShapeMismatch { _ = try backend.meanPool(short, prepared) }
      expectShapeMismatch { _ = try backend.l2Normalize(backend.vector([1, 2]), epsilon: 1) }
      let words = try backend.loadTable(Stored.weight(.f32, 41, 8).source)
      let wide = try backend.loadTable(Stored.weight(.f32, 41, 9).source)
      let one = try backend.loadTable(Stored.weight(.f32, 1, 8).source)
      expectShapeMismatch {
        _ = try backend.embeddingSum(words: words, positions: wide, types: nil, prepared)
      }
      for (a, b) in [(one, words), (words, one)] {
        let error = #expect(throws: RetortError.self) {
          _ = try backend.embeddingSum(words: a, positions: b, types: nil, prepared)
        }
        #expect(error?.code == .invalidArgument)
      }
    }

    @Test
    func aPackedBatchKnowsItsSequences() throws {
      let batch = try PackedBatch(tokenIDs: [[5, 6], [7]], typeIDs: [[0, 1], [0]])
      #expect(batch.tokenIDs == [5, 6, 7])
      #expect(batch.typeIDs == [0, 1, 0])
      #expect(batch.positions == [0, 1, 0])
      #expect(batch.starts == [0, 2, 3])
      #expect(batch.longest == 2)
      #expect(try PackedBatch(tokenIDs: [[5, 6]]).typeIDs == [0, 0])
      #expect(try PackedBatch(tokenIDs: []).longest == 0)
      for (ids, types) in [
        ([[Int32]()], nil), ([[1]], [[Int32]()]), ([[1]], [[0], [0]]), ([[1], [2]], [[0]]),
      ] {
        let error = #expect(throws: RetortError.self) { _ = try PackedBatch(tokenIDs: ids, typeIDs: types) }
        #expect(error?.code == .invalidArgument)
      }
    }
  }
}
