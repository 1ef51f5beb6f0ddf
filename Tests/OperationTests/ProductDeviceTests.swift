import Basics
import OpenCLBackend
import Tensors
import TestSupport
import Testing

extension Operations.ProductTests {
  /// Every OpenCL device, and both classes of kernels.
  static let devices = BackendUnderTest.openCL

  @Test(arguments: devices, cases)
  func devicesMultiplyLikeTheReference(_ device: BackendUnderTest, _ size: Case) throws {
    let backend = try device.trainer
    try Self.expectEveryTransposition(backend, size) { $0 < 2 ? .f32 : .bf16 }
  }

  /// Holds each transposition, also added to the columns of a wider tensor, to the reference.
  static func expectEveryTransposition(
    _ backend: any TrainingBackend, _ size: Case, precision: (_ transposition: Int) -> DType
  ) throws {
    for (index, transposed) in transpositions.enumerated() {
      for adds in [false, true] {
        let sample = Sample(size, transposed, bias: (index % 2 == 0) != adds, sum: adds)
        let actual = try sample.run(backend, precision(index), views: adds)
        #expect(actual.shape == [size.m, size.n])
        try expectClose(
          backend, actual, sample.reference, Tolerances.product(precision(index), terms: size.k),
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

  @Test func bothClassesOfKernelsGiveTheSameBits() throws {
    let backends = try Self.devices.map { try $0.trainer }
    #expect(backends.count > 1)
    for size in Self.cases {
      for transposed in Self.transpositions {
        let sample = Sample(size, transposed, bias: true, sum: true)
        let results = try backends.map { try $0.read(sample.run($0, .f32)) }
        for other in results.dropFirst() {
          #expect(Judge.bitDifference(results[0][...], other[...]) == nil, "\(size) \(transposed)")
        }
      }
    }
  }

  @Test(arguments: devices)
  func halvesOfTheTermsAddUpToTheBitsOfTheWhole(_ device: BackendUnderTest) throws {
    try Self.expectHalvesAddUp(device.trainer, .f32, partedAt: 90)
  }

  /// Holds 200 terms to the bits of their first `place` with the rest added.
  static func expectHalvesAddUp(_ backend: any TrainingBackend, _ precision: DType, partedAt place: Int)
    throws
  {
    var random = TestRandom(6)
    let g = try backend.matrix(random.activations(200 * 70), 70)
    let x = try backend.matrix(random.floats(200 * 50), 50)
    func add(_ rows: Range<Int>, to sum: Tensor?) throws -> Tensor {
      try backend.product(
        g.rows(rows), transposeA: true, x.rows(rows), transposeB: false, bias: nil, addTo: sum,
        precision: precision)
    }
    let whole = try backend.read(add(0..<200, to: nil))
    let halves = try backend.read(add(place..<200, to: add(0..<place, to: nil)))
    #expect(Judge.bitDifference(whole[...], halves[...]) == nil)
  }

  /// That an element of x wᵀ has the same bits whatever rows and columns stand beside it.
  static func expectSameBitsInAnyCompany(
    _ backend: any TrainingBackend, _ precision: DType, _ size: Case,
    parts: [(rows: Range<Int>, outputs: Range<Int>)]
  ) throws {
    var random = TestRandom(31)
    let x = try backend.matrix(random.activations(size.m * size.k), size.k)
    let w = try backend.matrix(random.floats(size.n * size.k), size.k)
    func product(_ rows: Range<Int>, _ outputs: Range<Int>) throws -> [Float] {
      try backend.read(
        backend.product(
          x.rows(rows), transposeA: false, w.rows(outputs), transposeB: true, bias: nil, addTo: nil,
          precision: precision))
    }
    let whole = try product(0..<size.m, 0..<size.n)
    for (rows, outputs) in parts {
      let part = try product(rows, outputs)
      for (place, row) in rows.enumerated() {
        let difference = Judge.bitDifference(
          part[(place * outputs.count)..<((place + 1) * outputs.count)],
          whole[(row * size.n + outputs.lowerBound)..<(row * size.n + outputs.upperBound)])
        #expect(difference == nil, "row \(row) of \(rows), columns \(outputs)")
      }
    }
  }

  @Test(arguments: devices)
  func devicesTakeProductsWithoutTerms(_ device: BackendUnderTest) throws {
    let backend = try device.trainer
    let (empty, none) = (try backend.allocate([3, 0], .f32), try backend.allocate([0, 2], .f32))
    let y = try backend.product(
      empty, transposeA: false, none, transposeB: false, bias: backend.vector([1, 2]),
      addTo: backend.matrix([1, 2, 3, 4, 5, 6], 2), precision: .f32)
    #expect(try backend.read(y) == [2, 4, 4, 6, 6, 8])
    let rows = try backend.product(
      none, transposeA: false, backend.matrix([1, 2, 3, 4], 2), transposeB: false, bias: nil, addTo: nil,
      precision: .f32)
    #expect(rows.shape == [0, 2])
    let x = try backend.matrix([Float](repeating: 1, count: 6), 3)
    expectShapeMismatch {
      _ = try backend.product(
        x, transposeA: false, x, transposeB: false, bias: nil, addTo: nil, precision: .f32)
    }
  }
}
