import Basics
import Tensors
import TestSupport
import Testing

extension Operations {
  /// Weights that are drawn, on the host and on devices.
  @Suite struct RandomWeightTests {
    static let random = RandomWeights(seed: 0x1234_5678_9abc, deviation: 0.05)

    /// A source that hands out what the host draws, as a file would.
    static func stored(_ shape: Shape, _ dtype: DType, _ random: RandomWeights) throws -> WeightSource {
      let bytes = try #require(dtype.byteCount(elements: shape.count))
      let memory = HostBytes(bytes)
      random.fill(memory.bytes, dtype: dtype, first: 0, count: shape.count)
      return WeightSource(name: "stored", dtype: dtype, shape: shape, file: "test") {
        UnsafeRawBufferPointer(memory.bytes)
      }
    }

    @Test(arguments: BackendUnderTest.modesAndTypes)
    func everyBackendDrawsTheHostsBits(_ place: BackendUnderTest, _ mode: ComputeMode, _ dtype: DType) throws
    {
      let backend = try place.backend
      // A plain row of an odd width begins within a quad of elements.
      let shape: Shape = [70, dtype.isQuantized ? 512 : 131]
      let drawn = try backend.loadMatrix(
        [.random("w", shape, dtype, Self.random)], compute: mode)
      let read = try backend.loadMatrix([Self.stored(shape, dtype, Self.random)], compute: mode)
      var numbers = TestRandom(4)
      let x = try backend.matrix(numbers.activations(3 * shape[1]), shape[1])
      let (a, b) = (try backend.matmul(x, drawn, bias: nil), try backend.matmul(x, read, bias: nil))
      #expect(Judge.bitDifference(try backend.read(a)[...], try backend.read(b)[...]) == nil)
      #expect(try backend.read(a).contains { $0 != 0 })
    }

    @Test(arguments: BackendUnderTest.all)
    func tablesAndVectorsAreDrawnAlike(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let batch = try backend.prepare(TestBatch.lookups([3, 0, 36]))
      for dtype in [DType.bf16, .q4_K, .q6_K] {
        let shape: Shape = [37, 256]
        let drawn = try backend.embedding(backend.loadTable(.random("t", shape, dtype, Self.random)), batch)
        let read = try backend.embedding(backend.loadTable(Self.stored(shape, dtype, Self.random)), batch)
        #expect(
          Judge.bitDifference(try backend.read(drawn)[...], try backend.read(read)[...]) == nil, "\(dtype)")
      }
      let norm = RandomWeights(seed: 9, deviation: 0.05, mean: 1)
      let vector = try backend.read(backend.loadVector([.random("v", [301], .f32, norm)]))
      let stored = try backend.read(backend.loadVector([Self.stored([301], .f32, norm)]))
      #expect(vector == stored)
      #expect(vector.allSatisfy { (0.9..<1.1).contains($0) })
    }

    @Test(arguments: TestWeight.dtypes)
    func drawnValuesHaveTheDeviation(_ dtype: DType) throws {
      let shape: Shape = [64, 1024]
      let source = try Self.stored(shape, dtype, Self.random)
      let values = QuantizedBlocks.decode(source.bytes(), dtype: dtype, count: shape.count).map(Double.init)
      let mean = values.reduce(0, +) / Double(values.count)
      let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
      #expect(values.allSatisfy { $0.isFinite })
      // Blocks without a minimum lie half a step off the middle.
      #expect(abs(mean) < 0.006)
      #expect((0.045..<0.055).contains(variance.squareRoot()), "\(variance.squareRoot())")
    }

    @Test func partsOfATensorAreDrawnAsTheWholeIs() throws {
      for dtype in TestWeight.dtypes {
        let count = 4 * 1024
        let size = try #require(dtype.byteCount(elements: count))
        let (whole, parts) = (HostBytes(size), HostBytes(size))
        Self.random.fill(whole.bytes, dtype: dtype, first: 0, count: count)
        let cut = dtype.isQuantized ? 1024 : 1022
        let start = try #require(dtype.byteCount(elements: cut))
        Self.random.fill(parts.bytes, dtype: dtype, first: 0, count: cut)
        Self.random.fill(
          UnsafeMutableRawBufferPointer(rebasing: parts.bytes[start...]), dtype: dtype, first: cut,
          count: count - cut)
        #expect(whole.bytes.elementsEqual(parts.bytes), "\(dtype)")
      }
    }

    @Test func rowsThatAreNoWholeBlocksSayWhichTypesFit() {
      let error = #expect(throws: RetortError.self) {
        _ = try WeightSource.random("w", [4, 576], .q4_K, Self.random)
      }
      #expect(error?.code == .invalidArgument && error?.field == "weight-type")
    }
  }
}

private final class HostBytes: @unchecked Sendable {
  let bytes: UnsafeMutableRawBufferPointer

  init(_ count: Int) {
    bytes = .allocate(byteCount: count, alignment: 64)
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
  }

  deinit { bytes.deallocate() }
}
