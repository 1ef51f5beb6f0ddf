import Basics
import OpenCLBackend
import Tensors
import TestSupport
import Testing

extension Operations.ProductTests {
  /// Training's products on tensor cores: as they are where the device has them, elsewhere emulated.
  @Suite struct WarpProductTests {
    private static let precision = DType.bf16

    @Test(arguments: Operations.ProductTests.cases)
    func everyTranspositionMultipliesLikeTheReference(_ size: Case) throws {
      let backend = try WarpBackend.make()
      for (index, transposed) in Operations.ProductTests.transpositions.enumerated() {
        for adds in [false, true] {
          let sample = Sample(size, transposed, bias: (index % 2 == 0) != adds, sum: adds)
          let actual = try sample.run(backend, Self.precision, views: adds)
          try expectClose(
            backend, actual, sample.reference, Tolerances.product(Self.precision, terms: size.k),
            "\(transposed), adding \(adds)")
          guard adds else { continue }
          // The columns beside the view still hold what they held.
          let wide = Tensor(shape: [size.m, actual.rowStride], dtype: .f32, buffer: actual.buffer)
          let around = try backend.read(wide).enumerated().filter {
            !(5..<5 + size.n).contains($0.offset % actual.rowStride)
          }
          #expect(around.count == 8 * size.m && around.allSatisfy { $0.element.isNaN })
        }
      }
    }

    /// In large tiles and in small ones.
    @Test func anElementIsTheSameBitsWhateverRowsAndColumnsStandBesideIt() throws {
      let backend = try WarpBackend.make()
      let (m, n, k) = (1410, 1410, 40)
      var random = TestRandom(31)
      let x = try backend.matrix(random.activations(m * k), k)
      let w = try backend.matrix(random.floats(n * k), k)
      func product(_ rows: Range<Int>, _ outputs: Range<Int>) throws -> [Float] {
        try backend.read(
          backend.product(
            x.rows(rows), transposeA: false, w.rows(outputs), transposeB: true, bias: nil, addTo: nil,
            precision: Self.precision))
      }
      let whole = try product(0..<m, 0..<n)
      for (rows, outputs) in [(7..<8, 3..<40), (100..<177, 600..<671), (1400..<1410, 0..<1)] {
        let part = try product(rows, outputs)
        for (place, row) in rows.enumerated() {
          let difference = Judge.bitDifference(
            part[(place * outputs.count)..<((place + 1) * outputs.count)],
            whole[(row * n + outputs.lowerBound)..<(row * n + outputs.upperBound)])
          #expect(difference == nil, "row \(row), columns \(outputs)")
        }
      }
    }

    @Test func halvesOfTheTermsAddUpToTheBitsOfTheWhole() throws {
      let backend = try WarpBackend.make()
      var random = TestRandom(32)
      let g = try backend.matrix(random.activations(200 * 70), 70)
      let x = try backend.matrix(random.floats(200 * 50), 50)
      func add(_ rows: Range<Int>, to sum: Tensor?) throws -> Tensor {
        try backend.product(
          g.rows(rows), transposeA: true, x.rows(rows), transposeB: false, bias: nil, addTo: sum,
          precision: Self.precision)
      }
      let whole = try backend.read(add(0..<200, to: nil))
      // Terms are added 32 after 32, so they may be parted at multiples of that.
      let halves = try backend.read(add(96..<200, to: add(0..<96, to: nil)))
      #expect(Judge.bitDifference(whole[...], halves[...]) == nil)
    }
  }
}
