import Basics
import CPUBackend
import Tensors
import TestSupport
import Testing

extension Operations {
  /// What holds for a cache in int8 beside what ``AttentionTests`` demands of every type.
  @Suite struct CodedCacheTests {
    static let backends = BackendUnderTest.all.filter { $0.cacheTypes.contains(.int8) }
    static let others = BackendUnderTest.all.filter { !$0.cacheTypes.contains(.int8) }

    @Test(arguments: backends)
    func headSizesAndGroupsOfModelsFollowTheReference(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let parts = [
        TestBatch.Part(rows: 1, context: 131), .init(rows: 1, context: 64), .init(rows: 7, context: 70),
        .init(rows: 2, context: 2),
      ]
      for headDim in [64, 128, 80, 36, 4] {
        for (heads, kvHeads) in [(2, 2), (3, 1), (12, 2), (7, 1)] {
          try AttentionTests.check(
            backend, parts, heads: heads, kvHeads: kvHeads, headDim: headDim,
            blockSize: headDim == 80 ? 32 : 16, dtype: .int8, views: heads == 3)
        }
      }
    }

    /// A sequence of one token reads back its own value: the codes alone stand between the two.
    @Test(arguments: backends)
    func aValueIsKeptWithinHalfAStep(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      for (headDim, size) in [(64, 1), (80, 1e-20), (128, 3e4), (12, 1e30)] as [(Int, Float)] {
        let parts = [TestBatch.Part](repeating: .init(rows: 1, context: 1), count: 9)
        let batch = try TestBatch(parts, blockSize: 16)
        let spec = KVCacheSpec(
          layers: 1, blocks: batch.blocks, blockSize: 16, kvHeads: 2, headDim: headDim, dtype: .int8)
        let cache = try backend.makeKVCache(spec)
        let prepared = try backend.prepare(batch.metadata)
        var random = TestRandom(UInt64(headDim))
        var value = random.activations(9 * 2 * headDim).map { $0 * size }
        // One head holds nothing but zeros.
        for index in 0..<headDim { value[index] = 0 }
        let x = try backend.matrix(value, 2 * headDim)
        try backend.storeKV(key: x, value: x, layer: 0, cache: cache, prepared)
        let actual = try backend.read(
          backend.attention(
            backend.matrix(random.floats(value.count), 2 * headDim), heads: 2, scale: 0, layer: 0,
            cache: cache, prepared))
        let bounds = stride(from: 0, to: value.count, by: headDim).flatMap { start in
          let most = value[start..<(start + headDim)].map(\.magnitude).max() ?? 0
          return [Double](repeating: Double(most) * Tolerances.cacheCode, count: headDim)
        }
        let complaint = Judge.complaint(actual, value.doubles, bounds: bounds, width: headDim)
        #expect(complaint == nil, "heads of \(headDim): \(complaint ?? "")")
      }
    }

    @Test func headsThatDoNotFillAWordAreRefused() throws {
      let backend = try CPUBackend(threads: 1)
      for (type, headDim) in [(.int8, 6), (.bf16, 7)] as [(CacheType, Int)] {
        let spec = KVCacheSpec(
          layers: 1, blocks: 1, blockSize: 16, kvHeads: 1, headDim: headDim, dtype: type)
        let error = #expect(throws: RetortError.self) { _ = try backend.makeKVCache(spec) }
        #expect(error?.code == .unsupported && error?.field == "kv-cache")
      }
    }

    @Test(arguments: others)
    func aDeviceWithoutCodesSaysWhatToUseInstead(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      for type in [CacheType.int8, .bf16] {
        let spec = KVCacheSpec(layers: 1, blocks: 1, blockSize: 16, kvHeads: 1, headDim: 64, dtype: type)
        let error = #expect(throws: RetortError.self) { _ = try backend.makeKVCache(spec) }
        #expect(error?.code == .unsupported && error?.remedy.contains("--kv-cache") == true)
      }
    }
  }
}
