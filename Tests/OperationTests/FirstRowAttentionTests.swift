import Basics
import Tensors
import TestSupport
import Testing

extension Operations {
  @Suite struct FirstRowAttentionTests {
    @Test(arguments: BackendUnderTest.all)
    func oneQueryASequenceFollowsTheReference(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      for (index, size) in [1, 7, 16, 24, 32, 80, 256].enumerated() {
        let packed = try EncoderTests.batch([5, 20, 1, 34, 130])
        let width = 2 * size
        var random = TestRandom(UInt64(size))
        let query = random.activations(packed.sequences * width)
        let parts = (0..<2).map { _ in random.activations(packed.rows * width) }
        let tensors = try ([query] + parts).map {
          try index % 2 == 1 ? backend.columns($0, width) : backend.matrix($0, width)
        }
        let scale = 1 / Float(size).squareRoot()
        let prepared = try backend.prepare(packed)
        let actual = try backend.firstRowAttention(
          query: tensors[0], key: tensors[1], value: tensors[2], heads: 2, scale: scale, prepared)
        #expect(actual.shape == [5, width])
        let expected = Reference.firstRowAttention(
          query.doubles, parts[0].doubles, parts[1].doubles, heads: 2, scale: Double(scale), packed)
        try expectClose(
          backend, actual, expected,
          Tolerances.encoderAttention(headDim: size, length: packed.longest, precision: .f32),
          "2 heads of \(size)")
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func aSequencesQueryHasTheSameBitsAloneAndInABatch(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let packed = try EncoderTests.batch([9, 40, 1, 17])
      let width = 48
      var random = TestRandom(5)
      let query = random.activations(packed.sequences * width)
      let (key, value) = (random.activations(packed.rows * width), random.activations(packed.rows * width))
      func attend(_ query: [Float], _ key: [Float], _ value: [Float], _ batch: PackedBatch) throws -> [Float]
      {
        try backend.read(
          backend.firstRowAttention(
            query: backend.matrix(query, width), key: backend.matrix(key, width),
            value: backend.matrix(value, width), heads: 2, scale: 0.2, backend.prepare(batch)))
      }
      let whole = try attend(query, key, value, packed)
      for index in 0..<packed.sequences {
        let rows = packed.rows(of: index)
        let range = (rows.lowerBound * width)..<(rows.upperBound * width)
        let own = (index * width)..<(index * width + width)
        let alone = try attend(
          Array(query[own]), Array(key[range]), Array(value[range]),
          PackedBatch(tokenIDs: [Array(packed.tokenIDs[rows])]))
        #expect(Judge.bitDifference(alone[...], whole[own]) == nil, "sequence \(index)")
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func operandsThatDoNotFitThrow(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let prepared = try backend.prepare(EncoderTests.batch([2, 1]))
      let two = try backend.matrix([Float](repeating: 1, count: 12), 6)
      let three = try backend.matrix([Float](repeating: 1, count: 18), 6)
      func attend(_ q: Tensor, _ k: Tensor, _ v: Tensor, _ heads: Int) throws {
        _ = try backend.firstRowAttention(query: q, key: k, value: v, heads: heads, scale: 1, prepared)
      }
      try attend(two, three, three, 2)
      expectShapeMismatch { try attend(three, three, three, 2) }
      expectShapeMismatch { try attend(two, two, three, 2) }
      expectShapeMismatch { try attend(two, three, two, 2) }
      expectShapeMismatch { try attend(two, three, three, 4) }
      expectShapeMismatch { try attend(two, three, three, 0) }
    }
  }
}
