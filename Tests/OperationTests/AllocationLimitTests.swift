import Basics
import OpenCLBackend
import OpenCLRuntime
import Tensors
import TestSupport
import Testing

extension Operations {
  /// Weights above the device's largest buffer lie in several; what does not fit at all says by how much.
  @Suite struct AllocationLimitTests {
    private static func backend(_ family: KernelFamily, limit: Int? = nil, memory: Int? = nil) throws
      -> OpenCLBackend
    {
      var device = try OpenCLPlatforms.devices()[0]
      if let limit { device.maxAllocationBytes = limit }
      if let memory { device.memoryBytes = memory }
      return try OpenCLBackend(device: device, family: family)
    }

    @Test(arguments: KernelFamily.allCases, [DType.f32, .q4_K])
    func aMatrixInManyBuffersMultipliesToTheSameBits(_ family: KernelFamily, _ dtype: DType) throws {
      let mode: ComputeMode = dtype == .f32 ? .f32 : .lean
      let (outputs, width) = (150, 512)
      let stored = Stored.weight(dtype, outputs, width)
      var random = TestRandom(8)
      let x = random.activations(9 * width)
      let bias = random.floats(outputs)
      func product(_ backend: OpenCLBackend) throws -> [Float] {
        let weight = try backend.loadMatrix([stored.source], compute: mode)
        return try backend.read(
          backend.matmul(backend.matrix(x, width), weight, bias: backend.vector(bias)))
      }
      let whole = try product(Self.backend(family))
      // Room for 32 columns and what is stored of them, but not for 150.
      let parts = try product(Self.backend(family, limit: 70_000))
      #expect(Judge.bitDifference(whole[...], parts[...]) == nil)
    }

    @Test(arguments: KernelFamily.allCases)
    func aTableInManyBuffersIsLookedUpAlike(_ family: KernelFamily) throws {
      let stored = Stored.weight(.f32, 41, 64)
      let backend = try Self.backend(family, limit: 3000)
      let ids: [Int32] = [0, 10, 11, 12, 40, 23]
      let table = try backend.loadTable(stored.source)
      let values = try backend.read(backend.embedding(table, backend.prepare(TestBatch.lookups(ids))))
      #expect(values.doubles == ids.flatMap { stored.values[(Int($0) * 64)..<(Int($0) * 64 + 64)] })
    }

    @Test(arguments: KernelFamily.allCases)
    func aCacheThatDoesNotFitNamesTheTokensThatWould(_ family: KernelFamily) throws {
      let backend = try Self.backend(family, memory: 10_000_000)
      // 2 layers · 2 heads · 64 numbers · 4 bytes, keys and values: 2,048 bytes a token.
      func spec(_ blocks: Int) -> KVCacheSpec {
        KVCacheSpec(layers: 2, blocks: blocks, blockSize: 16, kvHeads: 2, headDim: 64, dtype: .f32)
      }
      let error = #expect(throws: RetortError.self) { _ = try backend.makeKVCache(spec(611)) }
      #expect(error?.code == .outOfMemory)
      #expect(error?.message.contains("9776 tokens takes 20 MB and 10 MB are free: 10 MB too much") == true)
      #expect(error?.remedy.contains("4880 tokens would fit") == true)
      // Nothing was left behind, and as many as it says do fit.
      #expect(backend.memoryUse.liveBytes == 0)
      _ = try backend.makeKVCache(spec(4880 / 16))
    }
  }
}
