import Basics
import Tensors
import TestSupport
import Testing

extension Operations {
  @Suite struct RoPETests {
    /// Head size, rotating elements, heads, base, scale.
    static let specs: [(Int, Int, Int, Float, Float)] = [
      (16, 16, 1, 10_000, 1), (64, 64, 3, 100_000, 1), (80, 32, 2, 10_000, 1), (96, 96, 2, 500_000, 4),
      (128, 64, 2, 1_000_000, 2.5), (40, 10, 7, 10_000, 1), (6, 2, 5, 10_000, 8), (256, 256, 1, 10_000, 1),
    ]

    @Test(arguments: BackendUnderTest.all, [RoPE.Pairing.neighbours, .halves])
    func headsRotateByTheirPosition(_ backend: BackendUnderTest, _ pairing: RoPE.Pairing) throws {
      let backend = try backend.backend
      let metadata = try TestBatch.positions([0, 1, 2, 17, 100, 2047, 8191, 131_071])
      let batch = try backend.prepare(metadata)
      for (index, spec) in Self.specs.enumerated() {
        let (size, rotating, heads, base, scale) = spec
        let rope = RoPE(
          headDim: size, rotaryDim: rotating, base: base, positionScale: scale, pairing: pairing)
        let width = heads * size
        var random = TestRandom(UInt64(index))
        let x = random.activations(metadata.rows * width)
        let input = index % 2 == 0 ? try backend.matrix(x, width) : try backend.columns(x, width, before: 8)
        let actual = try backend.rope(input, rope, batch)
        #expect(actual.shape == [metadata.rows, width])
        try expectClose(
          backend, actual, Reference.rope(x.doubles, width: width, rope, positions: metadata.positions),
          Tolerances.rope, "\(spec)")
        let after = try backend.read(input)
        #expect(Judge.bitDifference(after[...], x[...]) == nil, "the input is left alone")
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func elementsBehindTheRotatingOnesAreCopied(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let batch = try backend.prepare(TestBatch.positions([5, 9]))
      var random = TestRandom(1)
      let x = random.floats(2 * 40)
      let rope = RoPE(headDim: 20, rotaryDim: 12, base: 10_000, pairing: .halves)
      let actual = try backend.read(backend.rope(backend.matrix(x, 40), rope, batch))
      for i in x.indices where i % 20 >= 12 { #expect(actual[i] == x[i]) }
    }

    @Test(arguments: BackendUnderTest.all)
    func operandsThatDoNotFitThrow(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let batch = try backend.prepare(TestBatch.positions([0, 1]))
      let x = try backend.matrix([Float](repeating: 1, count: 64), 32)
      let long = try backend.matrix([Float](repeating: 1, count: 96), 32)
      func rope(_ size: Int, _ rotating: Int) -> RoPE {
        RoPE(headDim: size, rotaryDim: rotating, base: 10_000, pairing: .halves)
      }
      expectShapeMismatch { _ = try backend.rope(long, rope(16, 16), batch) }
      expectShapeMismatch { _ = try backend.rope(x, rope(24, 24), batch) }
      expectShapeMismatch { _ = try backend.rope(x, rope(16, 18), batch) }
      expectShapeMismatch { _ = try backend.rope(x, rope(16, 3), batch) }
      expectShapeMismatch { _ = try backend.rope(x, rope(0, 2), batch) }
    }
  }
}
