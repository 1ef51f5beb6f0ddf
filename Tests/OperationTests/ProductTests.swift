import Basics
import CPUBackend
import Tensors
import TestSupport
import Testing

extension Operations {
  @Suite struct ProductTests {
    /// A product's extents, on both sides of tiles, units and blocks of the packed form.
    struct Case: Sendable, CustomTestStringConvertible {
      let m: Int
      let n: Int
      let k: Int
      var testDescription: String { "[\(m), \(k)] × [\(k), \(n)]" }
    }

    static let cases = [
      Case(m: 1, n: 1, k: 1), Case(m: 3, n: 5, k: 7), Case(m: 8, n: 48, k: 32), Case(m: 9, n: 49, k: 33),
      Case(m: 32, n: 4, k: 384), Case(m: 4, n: 384, k: 32), Case(m: 17, n: 96, k: 385),
      Case(m: 31, n: 100, k: 131), Case(m: 10, n: 20, k: 1000),
      // Enough arithmetic for several threads; the second kind of task owns columns.
      Case(m: 290, n: 51, k: 73), Case(m: 50, n: 310, k: 71),
    ]
    static let transpositions = [(false, false), (false, true), (true, false), (true, true)]
    static let precisions: [DType] = [.f32, .bf16]

    /// Operands as they lie, and the reference of their product.
    struct Sample {
      let size: Case
      let (a, b): ([Float], [Float])
      let (transposeA, transposeB): (Bool, Bool)
      let bias: [Float]?
      let sum: [Float]?

      init(_ size: Case, _ transposed: (Bool, Bool), bias: Bool, sum: Bool) {
        var random = TestRandom(UInt64(size.m &* 31 &+ size.k))
        self.size = size
        a = random.activations(size.m * size.k)
        b = random.floats(size.k * size.n)
        (transposeA, transposeB) = transposed
        self.bias = bias ? random.floats(size.n) : nil
        self.sum = sum ? random.floats(size.m * size.n) : nil
      }

      var widthA: Int { transposeA ? size.m : size.k }
      var widthB: Int { transposeB ? size.k : size.n }

      static func turned(_ values: [Float], width: Int) -> [Float] {
        let rows = values.count / width
        return (0..<values.count).map { values[$0 % rows * width + $0 / rows] }
      }

      var reference: Reference.Result {
        let x = transposeA ? Self.turned(a, width: widthA) : a
        let weight = transposeB ? b : Self.turned(b, width: widthB)
        var result = Reference.matmul(
          x.doubles, rows: size.m, weight: weight.doubles, width: size.k, bias: bias?.doubles)
        for (i, value) in (sum ?? []).enumerated() {
          result.values[i] += Double(value)
          result.magnitudes[i] += Double(value.magnitude)
        }
        return result
      }

      func run(_ backend: any TrainingBackend, _ precision: DType, views: Bool = false) throws -> Tensor {
        func matrix(_ values: [Float], _ width: Int) throws -> Tensor {
          views ? try backend.columns(values, width) : try backend.matrix(values, width)
        }
        return try backend.product(
          matrix(a, widthA), transposeA: transposeA, matrix(b, widthB), transposeB: transposeB,
          bias: bias.map { try backend.vector($0) }, addTo: sum.map { try matrix($0, size.n) },
          precision: precision)
      }
    }

    @Test(arguments: cases, precisions)
    func everyTranspositionMultipliesLikeTheReference(_ size: Case, _ precision: DType) throws {
      let backend = try CPUBackend(threads: 2)
      for (index, transposed) in Self.transpositions.enumerated() {
        for adds in [false, true] {
          let sample = Sample(size, transposed, bias: (index % 2 == 0) != adds, sum: adds)
          let actual = try sample.run(backend, precision)
          #expect(actual.shape == [size.m, size.n])
          try expectClose(
            backend, actual, sample.reference, Tolerances.product(precision, terms: size.k),
            "\(transposed), adding \(adds)")
        }
      }
    }

    @Test(arguments: precisions)
    func viewsIntoWiderTensorsAreReadAndWrittenInPlace(_ precision: DType) throws {
      let backend = try CPUBackend(threads: 2)
      for size in [Case(m: 19, n: 21, k: 35), Case(m: 200, n: 70, k: 97)] {
        for transposed in Self.transpositions {
          let sample = Sample(size, transposed, bias: true, sum: true)
          let actual = try sample.run(backend, precision, views: true)
          try expectClose(
            backend, actual, sample.reference, Tolerances.product(precision, terms: size.k), "\(transposed)")
          // The columns beside the view still hold what they held.
          let wide = Tensor(
            shape: [size.m, actual.rowStride], dtype: .f32, buffer: actual.buffer)
          let around = try backend.read(wide).enumerated().filter {
            !(5..<5 + size.n).contains($0.offset % actual.rowStride)
          }
          #expect(around.count == 8 * size.m && around.allSatisfy { $0.element.isNaN })
        }
      }
    }

    @Test(arguments: precisions)
    func theNumberOfThreadsChangesNoBit(_ precision: DType) throws {
      for size in [Case(m: 9, n: 49, k: 33), Case(m: 310, n: 33, k: 400), Case(m: 33, n: 310, k: 400)] {
        for transposed in Self.transpositions {
          let sample = Sample(size, transposed, bias: true, sum: true)
          let results = try [1, 2, 3, 8].map { threads in
            let backend = try CPUBackend(threads: threads)
            return try backend.read(sample.run(backend, precision))
          }
          for other in results.dropFirst() {
            #expect(Judge.bitDifference(results[0][...], other[...]) == nil, "\(size) \(transposed)")
          }
        }
      }
    }

    @Test(arguments: precisions)
    func anElementIsTheSameBitsWhateverRowsAndColumnsStandBesideIt(_ precision: DType) throws {
      try Self.expectSameBitsInAnyCompany(
        CPUBackend(threads: 2), precision, Case(m: 230, n: 211, k: 801),
        parts: [(0..<1, 0..<211), (3..<40, 7..<8), (100..<230, 50..<211), (229..<230, 210..<211)])
    }

    @Test func addingHalvesOfTheTermsGivesTheBitsOfTheWholeSum() throws {
      let backend = try CPUBackend(threads: 2)
      var random = TestRandom(6)
      let g = try backend.matrix(random.activations(500 * 70), 70)
      let x = try backend.matrix(random.floats(500 * 130), 130)
      for precision in Self.precisions {
        func add(_ rows: Range<Int>, to sum: Tensor?) throws -> Tensor {
          try backend.product(
            g.rows(rows), transposeA: true, x.rows(rows), transposeB: false, bias: nil, addTo: sum,
            precision: precision)
        }
        let whole = try backend.read(add(0..<500, to: nil))
        let halves = try backend.read(add(212..<500, to: add(0..<212, to: nil)))
        #expect(Judge.bitDifference(whole[...], halves[...]) == nil)
      }
    }

    @Test(arguments: precisions)
    func noTermsLeaveTheStart(_ precision: DType) throws {
      let backend = try CPUBackend(threads: 2)
      let empty = try backend.allocate([3, 0], .f32)
      let none = try backend.allocate([0, 2], .f32)
      func product(_ bias: [Float]?, _ sum: [Float]?) throws -> [Float] {
        try backend.read(
          backend.product(
            empty, transposeA: false, none, transposeB: false, bias: bias.map { try backend.vector($0) },
            addTo: sum.map { try backend.matrix($0, 2) }, precision: precision))
      }
      #expect(try product(nil, nil) == [0, 0, 0, 0, 0, 0])
      #expect(try product([1, 2], nil) == [1, 2, 1, 2, 1, 2])
      #expect(try product([1, 2], [1, 2, 3, 4, 5, 6]) == [2, 4, 4, 6, 6, 8])
      let rows = try backend.product(
        none, transposeA: false, backend.matrix([1, 2, 3, 4], 2), transposeB: false, bias: nil, addTo: nil,
        precision: precision)
      #expect(rows.shape == [0, 2])
    }

    @Test(arguments: precisions)
    func infinityAndNaNReachTheResultsTheyBelongTo(_ precision: DType) throws {
      let backend = try CPUBackend(threads: 1)
      var a = [Float](repeating: 1, count: 3 * 40)
      a[5] = .infinity
      a[40 + 39] = .nan
      let y = try backend.read(
        backend.product(
          backend.matrix(a, 40), transposeA: false, backend.matrix([Float](repeating: 1, count: 40 * 2), 2),
          transposeB: false, bias: nil, addTo: nil, precision: precision))
      #expect(y[0] == .infinity && y[1] == .infinity && y[2].isNaN && y[3].isNaN && y[4] == 40 && y[5] == 40)
    }

    @Test func operandsThatDoNotFitThrow() throws {
      let backend = try CPUBackend(threads: 1)
      let x = try backend.matrix([Float](repeating: 1, count: 6), 3)
      let vector = try backend.vector([1, 2, 3])
      func product(
        _ a: Tensor, _ b: Tensor, _ ta: Bool, _ tb: Bool, bias: Tensor? = nil, sum: Tensor? = nil,
        _ precision: DType = .f32
      ) throws {
        _ = try backend.product(
          a, transposeA: ta, b, transposeB: tb, bias: bias, addTo: sum, precision: precision)
      }
      expectShapeMismatch { try product(x, x, false, false) }
      expectShapeMismatch { try product(x, x, true, true) }
      expectShapeMismatch { try product(vector, x, false, true) }
      expectShapeMismatch { try product(x, x, false, true, bias: vector) }
      expectShapeMismatch { try product(x, x, true, false, bias: x) }
      expectShapeMismatch { try product(x, x, false, true, sum: x) }
      let other = try ReferenceBackend().upload([1, 2, 3, 4, 5, 6], shape: [2, 3])
      expectShapeMismatch { try product(x, other, false, true) }
      let error = #expect(throws: RetortError.self) { try product(x, x, false, true, .q8_0) }
      #expect(error?.code == .invalidArgument && error?.field == "precision")
    }

    @Test func theDescriptionCountsArithmeticAndBytes() throws {
      let plain = try Product([4, 5], transposeA: false, [6, 5], transposeB: true, precision: .f32)
      #expect(plain.outputShape == [4, 6] && plain.flops == 240 && plain.bytes == 4 * (20 + 30 + 24))
      let full = try Product(
        [5, 4], transposeA: true, [5, 6], transposeB: false, bias: [6], addTo: [4, 6], precision: .bf16)
      #expect(full.outputShape == [4, 6] && full.flops == 240 && full.bytes == 4 * (20 + 30 + 48 + 6))
      let huge = 1 << 30
      expectShapeMismatch {
        _ = try Product([huge, huge], transposeA: false, [huge, huge], transposeB: false, precision: .f32)
      }
    }
  }
}
