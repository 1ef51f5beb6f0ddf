import Basics
import Tensors
import TestSupport
import Testing

extension Operations {
  @Suite struct EmbeddingTests {
    @Test(arguments: BackendUnderTest.all, TestWeight.dtypes)
    func rowsOfTheTableAreDecoded(_ backend: BackendUnderTest, _ dtype: DType) throws {
      let backend = try backend.backend
      for width in dtype.blockSize == 1 ? [1, 33, 64] : [dtype.blockSize, dtype.blockSize * 3] {
        let stored = Stored.weight(dtype, 41, width)
        let table = try backend.loadTable(stored.source)
        #expect(table.rows == 41 && table.width == width)
        for ids in [[Int32(40)], [0, 7, 7, 39], [12, 3, 40, 0, 1, 2, 5, 9, 9, 31, 30, 29, 17]] {
          let values = ids.flatMap { stored.values[(Int($0) * width)..<(Int($0) * width + width)] }
          let largest = values.reduce(0) { max($0, $1.magnitude) }
          let actual = try backend.embedding(table, backend.prepare(TestBatch.lookups(ids)))
          #expect(actual.shape == [ids.count, width])
          let reference = Reference.Result(values: values, magnitudes: values.map { _ in largest })
          try expectClose(backend, actual, reference, Tolerances.embedding(dtype), "width \(width)")
        }
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func anIdOutsideTheTableThrows(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let table = try backend.loadTable(Stored.weight(.f32, 41, 8).source)
      for ids in [[Int32(41)], [0, -1], [Int32.max], [Int32.min]] {
        let error = #expect(throws: RetortError.self) {
          _ = try backend.embedding(table, backend.prepare(TestBatch.lookups(ids)))
        }
        #expect(error?.code == .invalidArgument)
      }
    }

    @Test(arguments: BackendUnderTest.all, [DType.f32, .f16, .bf16])
    func vectorsAreJoinedEndToEnd(_ backend: BackendUnderTest, _ dtype: DType) throws {
      let backend = try backend.backend
      let parts = [3, 1, 17].map { width in
        var random = TestRandom(UInt64(width))
        return TestWeight(random.floats(width), shape: [width], dtype: dtype)
      }
      let joined = try backend.loadVector(parts.map(\.source))
      #expect(joined.shape == [21])
      let values = try backend.read(joined)
      #expect(values.doubles == parts.flatMap(\.values))
    }
  }
}
