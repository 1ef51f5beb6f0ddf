import Basics
import CPUBackend
import OpenCLBackend
import OpenCLRuntime
import Tensors
import TestSupport
import Testing

extension Operations {
  /// Int8 products of every kind of OpenCL kernel beside the CPU backend's: the same arithmetic in the same order.
  @Suite struct Int8MatMulTests {
    struct Case: Sendable, CustomTestStringConvertible {
      let dtypes: [DType]
      let width: Int
      /// Row counts on both sides of the kernels' limits.
      let rows: [Int]
      /// Which parts take 15-bit activations.
      var fine: [Bool] = [false]
      var testDescription: String { "\(dtypes) \(width) \(fine)" }
    }

    static let cases = [
      Case(dtypes: [.f32], width: 131, rows: [1, 7, 9, 65, 130]),
      Case(dtypes: [.q4_K, .q6_K], width: 2816, rows: [1, 16, 64]),
      // As queries, keys and values are stacked; two passes through the ring of stages too.
      Case(dtypes: [.bf16, .q8_0, .f16], width: 416, rows: [1, 3, 17, 66], fine: [false, true, true]),
    ]

    static let backends: [BackendUnderTest] = BackendUnderTest.openCL + [.emulatedWarps]

    @Test(arguments: backends, cases)
    func productsHaveTheBitsOfTheCPUBackend(_ place: BackendUnderTest, _ sizes: Case) throws {
      let (backend, native) = (try place.backend, try CPUBackend(threads: 1))
      let parts = sizes.dtypes.enumerated().map { index, dtype in
        let outputs = sizes.fine[index % sizes.fine.count] ? 40 : 45 + 3 * index
        return TestWeight(random: UInt64(31 + index), outputs, sizes.width, dtype)
      }
      let sources = parts.enumerated().map { index, part in
        var source = part.source
        source.needsFineActivations = sizes.fine[index % sizes.fine.count]
        return source
      }
      let (weight, expected) = (
        try backend.loadMatrix(sources, compute: .int8), try native.loadMatrix(sources, compute: .int8)
      )
      var random = TestRandom(33)
      let bias = random.floats(weight.outputWidth)
      for rows in sizes.rows {
        // Groups of very different sizes, and rows that are no multiple of 16 bytes apart.
        let x = random.activations(rows * sizes.width).enumerated().map { index, value in
          index / 64 % 5 == 4 ? value * 1e-3 : value
        }
        let actual = try backend.read(
          backend.matmul(backend.columns(x, sizes.width), weight, bias: backend.vector(bias)))
        let wanted = try native.read(
          native.matmul(native.columns(x, sizes.width), expected, bias: native.vector(bias)))
        #expect(Judge.bitDifference(actual[...], wanted[...]) == nil, "\(rows) rows")
      }
    }
  }
}
