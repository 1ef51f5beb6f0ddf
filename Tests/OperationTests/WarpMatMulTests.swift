import Basics
import OpenCLBackend
import OpenCLRuntime
import Tensors
import TestSupport
import Testing

extension Operations {
  /// Products on tensor cores: as they are where the device has them, elsewhere with emulated warp instructions.
  @Suite struct WarpMatMulTests {
    struct Case: Sendable {
      let dtype: DType
      /// Weights that kernels read 16 bytes at a time, or, where false, element by element.
      var aligned = true
      /// Several chunks of k.
      var deep = false
      let rows: [Int]

      var width: Int { deep ? 2080 : !aligned ? 131 : dtype.blockSize == 256 ? 512 : 160 }
    }

    /// Every type in the kernels for few and for many rows, and every kernel with a type of each kind.
    static let cases: [Case] =
      TestWeight.dtypes.filter { $0 != .f32 }.map { Case(dtype: $0, rows: [3, 130]) }
      + [
        Case(dtype: .bf16, deep: true, rows: [1, 8, 17, 64, 130]),
        Case(dtype: .q8_0, deep: true, rows: [1, 64, 65]),
        Case(dtype: .q4_K, rows: [8, 16, 17, 64, 65]),
        Case(dtype: .bf16, aligned: false, rows: [5, 64, 66]),
        Case(dtype: .f16, aligned: false, rows: [5, 66]),
      ]

    private static func backend() throws -> OpenCLBackend { try WarpBackend.make() }

    @Test(arguments: cases)
    func everyTypeMultipliesLikeItsDecodedValuesAndEachRowAlike(_ place: Case) throws {
      let backend = try Self.backend()
      let (outputs, width) = (45, place.width)
      let stored = Stored.weight(place.dtype, outputs, width)
      let weight = try backend.loadMatrix([stored.source], compute: .lean)
      var random = TestRandom(21)
      let most = place.rows.max() ?? 0
      let x = random.activations(most * width)
      let bias = random.floats(outputs)
      let reference = Reference.matmul(
        x.doubles, rows: most, weight: stored.values, width: width, bias: bias.doubles)
      var whole: [Float] = []
      for rows in place.rows.sorted(by: >) {
        // The last rows, as columns of a wider tensor that are no multiple of 16 bytes apart.
        let first = most - rows
        let input = try backend.columns(Array(x[(first * width)...]), width)
        let actual = try backend.read(backend.matmul(input, weight, bias: backend.vector(bias)))
        if whole.isEmpty { whole = actual }
        let bounds = reference.magnitudes[(first * outputs)...].map {
          $0 * Tolerances.matmul(.bf16, terms: width)
        }
        let complaint = Judge.complaint(
          actual, Array(reference.values[(first * outputs)...]), bounds: bounds, width: outputs)
        #expect(complaint == nil, "\(rows) rows")
        #expect(Judge.bitDifference(actual[...], whole[(first * outputs)...]) == nil, "\(rows) rows")
      }
    }

    @Test func largeTilesGiveTheBitsOfFewRows() throws {
      let backend = try Self.backend()
      let (rows, outputs, width) = (2048, 2040, 32)
      let weight = try backend.loadMatrix([Stored.weight(.bf16, outputs, width).source], compute: .lean)
      var random = TestRandom(23)
      let x = try backend.matrix(random.activations(rows * width), width)
      let whole = try backend.read(backend.matmul(x, weight, bias: nil))
      for range in [0..<3, 700..<717, 2040..<2048] {
        let few = try backend.read(backend.matmul(x.rows(range), weight, bias: nil))
        let same = whole[(range.lowerBound * outputs)..<(range.upperBound * outputs)]
        #expect(Judge.bitDifference(few[...], same) == nil, "rows \(range)")
      }
    }

    @Test func modeF32StaysExact() throws {
      let backend = try Self.backend()
      let portable = try OpenCLBackend(
        device: OpenCLPlatforms.devices()[0], family: .gpu, features: .portable)
      let stored = Stored.weight(.q4_1, 33, 160)
      var random = TestRandom(22)
      let x = random.activations(9 * 160)
      let results = try [backend, portable].map { backend in
        let weight = try backend.loadMatrix([stored.source], compute: .f32)
        return try backend.read(backend.matmul(backend.matrix(x, 160), weight, bias: nil))
      }
      #expect(Judge.bitDifference(results[0][...], results[1][...]) == nil)
    }

    @Test func numbersBeyondHalfPrecisionAreHeldWithin() throws {
      let backend = try Self.backend()
      let weight = try backend.loadMatrix(
        [TestWeight([1, 0.5] + [Float](repeating: 0, count: 14), shape: [2, 8], dtype: .f16).source],
        compute: .lean)
      let x = try backend.matrix([-1e6] + [Float](repeating: 1, count: 7), 8)
      #expect(try backend.read(backend.matmul(x, weight, bias: nil)) == [-65503.5, 0])
    }
  }
}

/// The backend with warp instructions: the first device that has them, or the first device and their emulation.
enum WarpBackend {
  static func make() throws -> OpenCLBackend {
    let devices = try OpenCLPlatforms.devices()
    if let device = devices.first(where: { $0.features.warpInstructions == .ptx }) {
      return try OpenCLBackend(device: device, family: .gpu)
    }
    return try OpenCLBackend(
      device: devices[0], family: .gpu, features: KernelFeatures(warpInstructions: .emulated))
  }
}
