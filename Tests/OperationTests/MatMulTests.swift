import Basics
import CPUBackend
import Tensors
import TestSupport
import Testing

extension Operations {
  @Suite struct MatMulTests {
    struct Case: Sendable {
      let rows: Int
      let width: Int
      let outputs: Int
    }

    /// Row counts on both sides of the usual tile heights; output widths whole, odd and below a tile.
    static func cases(_ dtype: DType) -> [Case] {
      let block = dtype.blockSize
      let narrow = block == 1 ? 37 : block
      let wide = block == 1 ? 131 : block == 32 ? 160 : 512
      return [
        Case(rows: 1, width: wide, outputs: 48), Case(rows: 2, width: wide, outputs: 33),
        Case(rows: 3, width: narrow, outputs: 7), Case(rows: 7, width: wide, outputs: 1),
        Case(rows: 16, width: narrow, outputs: 32), Case(rows: 33, width: wide, outputs: 19),
        Case(rows: 65, width: narrow, outputs: 50),
      ]
    }

    /// Bounds of the table for these operands.
    static func bounds(
      _ reference: Reference.Result, _ x: [Double], rows: Int, _ weights: [TestWeight], _ mode: ComputeMode
    ) -> [Double] {
      let width = weights[0].shape[1]
      let plain = Tolerances.matmul(mode, terms: width)
      let bounds = reference.magnitudes.map { $0 * plain }
      let factor = Tolerances.eightBits(terms: width)
      let values = weights.flatMap(\.values)
      switch mode {
      case .int8:
        let ofRows = Reference.blockMagnitudes(x, rows: rows, weight: values, width: width, block: 64)
        let ofWeights = Reference.blockMagnitudes(
          x, rows: rows, weight: values, width: width, block: 64, ofWeights: true)
        return bounds.indices.map { bounds[$0] + (ofRows[$0] + ofWeights[$0]) * factor }
      case .lean where weights.contains(where: \.dtype.isQuantized):
        let blocks = Reference.blockMagnitudes(x, rows: rows, weight: values, width: width, block: 32)
        return zip(bounds, blocks).map { max($0, $1 * factor) }
      default: return bounds
      }
    }

    @Test(arguments: BackendUnderTest.modesAndTypes)
    func everyWeightTypeMultipliesLikeItsDecodedValues(
      _ place: BackendUnderTest, _ mode: ComputeMode, _ dtype: DType
    ) throws {
      let backend = try place.backend
      for (index, size) in Self.cases(dtype).enumerated() {
        let stored = Stored.weight(dtype, size.outputs, size.width)
        let weight = try backend.loadMatrix([stored.source], compute: mode)
        #expect(weight.inputWidth == size.width && weight.outputWidth == size.outputs && weight.byteCount > 0)
        var random = TestRandom(UInt64(index + 10))
        let x = random.activations(size.rows * size.width)
        let bias = index % 2 == 0 ? random.floats(size.outputs) : nil
        let reference = Reference.matmul(
          x.doubles, rows: size.rows, weight: stored.values, width: size.width, bias: bias?.doubles)
        let input =
          index % 3 == 1 ? try backend.columns(x, size.width) : try backend.matrix(x, size.width)
        let actual = try backend.matmul(input, weight, bias: bias.map { try backend.vector($0) })
        #expect(actual.shape == [size.rows, size.outputs])
        let complaint = Judge.complaint(
          try backend.read(actual), reference.values,
          bounds: Self.bounds(reference, x.doubles, rows: size.rows, [stored], mode), width: size.outputs)
        #expect(complaint == nil, "\(size)")
      }
    }

    @Test(arguments: BackendUnderTest.modes)
    func stackedPartsOfDifferentTypesGiveTheirOwnColumns(_ backend: BackendUnderTest, _ mode: ComputeMode)
      throws
    {
      let backend = try backend.backend
      for dtypes in [[DType.q4_K, .q4_K, .q6_K], [.q8_0, .f32, .q4_0], [.bf16, .f16], [.q5_K, .q5_0]] {
        let parts = dtypes.enumerated().map { TestWeight(random: UInt64($0), 24 + 7 * $0, 256, $1) }
        let weight = try backend.loadMatrix(parts.map(\.source), compute: mode)
        #expect(weight.outputWidth == parts.reduce(0) { $0 + $1.shape[0] })
        var random = TestRandom(3)
        for rows in [1, 5] {
          let x = random.activations(rows * 256)
          let reference = Reference.matmul(
            x.doubles, rows: rows, weight: parts.flatMap(\.values), width: 256)
          let actual = try backend.read(backend.matmul(backend.matrix(x, 256), weight, bias: nil))
          let complaint = Judge.complaint(
            actual, reference.values, bounds: Self.bounds(reference, x.doubles, rows: rows, parts, mode),
            width: weight.outputWidth)
          #expect(complaint == nil, "\(dtypes), \(rows) rows")
        }
      }
    }

    @Test(arguments: BackendUnderTest.modesAndTypes)
    func aRowIsTheSameBitsInEveryBatch(_ place: BackendUnderTest, _ mode: ComputeMode, _ dtype: DType) throws
    {
      let backend = try place.backend
      let width = max(256, dtype.blockSize)
      let outputs = 45
      let weight = try backend.loadMatrix(
        [Stored.weight(dtype, outputs, width).source], compute: mode)
      var random = TestRandom(5)
      let bias = try backend.vector(random.floats(outputs))
      let x = random.activations(100 * width)
      func products(_ rows: [Int]) throws -> [Float] {
        let input = rows.flatMap { x[($0 * width)..<($0 * width + width)] }
        return try backend.read(backend.matmul(backend.matrix(input, width), weight, bias: bias))
      }
      let whole = try products(Array(0..<100))
      for count in [1, 2, 5, 16, 33] {
        let rows = (0..<count).map { (7 * $0 + 13 * count) % 100 }
        let some = try products(rows)
        for (place, row) in rows.enumerated() {
          let difference = Judge.bitDifference(
            some[(place * outputs)..<(place * outputs + outputs)],
            whole[(row * outputs)..<(row * outputs + outputs)])
          #expect(difference == nil, "row \(row) of 100 at place \(place) of \(count)")
        }
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func fineActivationsLoseNextToNothing(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      for dtype in [DType.q4_1, .q8_0, .q4_K, .q6_K] {
        let stored = Stored.weight(dtype, 40, 512)
        var source = stored.source
        source.needsFineActivations = true
        let weight = try backend.loadMatrix([source], compute: .lean)
        var random = TestRandom(8)
        for rows in [1, 6] {
          let x = random.activations(rows * 512)
          let reference = Reference.matmul(x.doubles, rows: rows, weight: stored.values, width: 512)
          // What 8 bits leave is rounded to 8 bits again: a 254th of their error.
          let coarse = Reference.blockMagnitudes(
            x.doubles, rows: rows, weight: stored.values, width: 512, block: 32)
          let bounds = zip(reference.magnitudes, coarse).map {
            $0 * Tolerances.matmul(.f32, terms: 512) + $1 * Tolerances.eightBits(terms: 512) / 254
          }
          let actual = try backend.read(backend.matmul(backend.matrix(x, 512), weight, bias: nil))
          #expect(
            Judge.complaint(actual, reference.values, bounds: bounds, width: 40) == nil,
            "\(dtype), \(rows) rows")
        }
      }
    }

    /// 15-bit activations against weights that 8 bits hold exactly: whole multiples of each block's largest.
    @Test func fineActivationsLoseNextToNothingInInt8() throws {
      let backend = try CPUBackend(threads: 2)
      var random = TestRandom(9)
      let whole = (0..<20 * 192).map { index -> Float in
        index % 64 == 5 ? 127 : random.floats(1, in: -126...126)[0].rounded()
      }
      let stored = TestWeight(whole, shape: [20, 192], dtype: .f32)
      var source = stored.source
      source.needsFineActivations = true
      let weight = try backend.loadMatrix([source], compute: .int8)
      for rows in [1, 19] {
        let x = random.activations(rows * 192)
        let reference = Reference.matmul(x.doubles, rows: rows, weight: stored.values, width: 192)
        let coarse = Reference.blockMagnitudes(
          x.doubles, rows: rows, weight: stored.values, width: 192, block: 64)
        let bounds = zip(reference.magnitudes, coarse).map {
          $0 * Tolerances.matmul(.f32, terms: 192) + $1 * Tolerances.eightBits(terms: 192) / 254
        }
        let actual = try backend.read(backend.matmul(backend.matrix(x, 192), weight, bias: nil))
        #expect(Judge.complaint(actual, reference.values, bounds: bounds, width: 20) == nil, "\(rows) rows")
      }
    }

    @Test(arguments: BackendUnderTest.modes)
    func zeroRowsAndHugeRowsStayFinite(_ backend: BackendUnderTest, _ mode: ComputeMode) throws {
      let backend = try backend.backend
      for dtype in [DType.f32, .q4_1, .q6_K] {
        let stored = Stored.weight(dtype, 20, 256)
        let weight = try backend.loadMatrix([stored.source], compute: mode)
        let x = [Float](repeating: 0, count: 256) + [Float](repeating: 1e30, count: 256)
        let actual = try backend.read(backend.matmul(backend.matrix(x, 256), weight, bias: nil))
        #expect(actual.prefix(20).allSatisfy { $0 == 0 })
        #expect(actual.allSatisfy { $0.isFinite })
      }
    }

    @Test(arguments: BackendUnderTest.modes)
    func operandsThatDoNotFitThrow(_ backend: BackendUnderTest, _ mode: ComputeMode) throws {
      let backend = try backend.backend
      let weight = try backend.loadMatrix([Stored.weight(.f32, 8, 32).source], compute: mode)
      let x = try backend.matrix([Float](repeating: 1, count: 64), 32)
      let narrow = try backend.matrix([Float](repeating: 1, count: 62), 31)
      let bias = try backend.vector([Float](repeating: 1, count: 7))
      expectShapeMismatch { _ = try backend.matmul(narrow, weight, bias: nil) }
      expectShapeMismatch { _ = try backend.matmul(x, weight, bias: bias) }
      expectShapeMismatch { _ = try backend.matmul(bias, weight, bias: nil) }
      // Parts that cannot be stacked are the file's fault, so the code may say that.
      #expect(throws: RetortError.self) {
        _ = try backend.loadMatrix(
          [Stored.weight(.f32, 8, 32).source, Stored.weight(.f32, 8, 64).source], compute: mode)
      }
    }
  }
}
