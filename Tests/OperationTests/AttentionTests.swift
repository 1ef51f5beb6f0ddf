import Basics
import OpenCLBackend
import Tensors
import TestSupport
import Testing

extension Operations {
  @Suite struct AttentionTests {
    typealias Part = TestBatch.Part

    /// Fills the cache with every token of the batch's sequences, in the backend and in the reference.
    static func filled(
      _ backend: any Backend, _ spec: KVCacheSpec, _ batch: TestBatch, layer: Int, views: Bool = false
    ) throws -> (any KVCache, Reference.Cache) {
      let cache = try backend.makeKVCache(spec)
      var reference = Reference.Cache(spec)
      let prefill = try batch.wholePrefill()
      let width = spec.kvHeads * spec.headDim
      var random = TestRandom(UInt64(width + prefill.rows))
      let key = random.floats(prefill.rows * width)
      let value = random.activations(prefill.rows * width)
      reference.store(key: key.doubles, value: value.doubles, layer: layer, prefill)
      try backend.storeKV(
        key: views ? backend.columns(key, width) : backend.matrix(key, width),
        value: views ? backend.columns(value, width, before: 1) : backend.matrix(value, width),
        layer: layer, cache: cache, backend.prepare(prefill))
      return (cache, reference)
    }

    /// That of the table, for what the backend multiplies with.
    static func tolerance(_ backend: any Backend, headDim: Int, context: Int, cache: CacheType) -> Double {
      let openCL = backend as? OpenCLBackend
      let warps = openCL.map { $0.family == .gpu && $0.features.warpInstructions != .none } ?? false
      return Tolerances.attention(headDim: headDim, context: context, cache: cache, halfOperands: warps)
    }

    /// Prefill, chunked prefill and decode of sequences of different lengths in one call.
    static let mixed = [
      Part(rows: 1, context: 45), Part(rows: 9, context: 9), Part(rows: 5, context: 37),
      Part(rows: 1, context: 1),
      Part(rows: 1, context: 16), Part(rows: 2, context: 17),
    ]

    static func check(
      _ backend: any Backend, _ parts: [Part], heads: Int, kvHeads: Int, headDim: Int, blockSize: Int,
      dtype: CacheType, views: Bool, sharpness: Float = 1
    ) throws {
      let batch = try TestBatch(parts, blockSize: blockSize, seed: UInt64(headDim + heads))
      let spec = KVCacheSpec(
        layers: 2, blocks: batch.blocks, blockSize: blockSize, kvHeads: kvHeads, headDim: headDim,
        dtype: dtype)
      let (cache, reference) = try filled(backend, spec, batch, layer: 1, views: views)
      let width = heads * headDim
      var random = TestRandom(UInt64(width))
      let query = random.activations(batch.metadata.rows * width)
      let scale = sharpness / Float(headDim).squareRoot()
      let actual = try backend.attention(
        views ? backend.columns(query, width, after: 16) : backend.matrix(query, width), heads: heads,
        scale: scale, layer: 1, cache: cache, backend.prepare(batch.metadata))
      #expect(actual.shape == [batch.metadata.rows, width])
      let expected = Reference.attention(
        query.doubles, heads: heads, scale: Double(scale), layer: 1, cache: reference, batch.metadata)
      let context = parts.map(\.context).max() ?? 1
      try expectClose(
        backend, actual, expected, Self.tolerance(backend, headDim: headDim, context: context, cache: dtype),
        "\(heads) heads over \(kvHeads) of \(headDim), blocks of \(blockSize), \(dtype)")
    }

    /// Head sizes that a cache can hold are multiples of this.
    static func headStep(_ dtype: CacheType) -> Int { dtype == .int8 ? 4 : dtype == .bf16 ? 2 : 1 }

    @Test(arguments: BackendUnderTest.caches)
    func everyHeadSizeFollowsTheReference(_ backend: BackendUnderTest, _ dtype: CacheType) throws {
      let backend = try backend.backend
      for (index, size) in [16, 40, 64, 80, 96, 128, 256, 7].enumerated()
      where size % Self.headStep(dtype) == 0 {
        try Self.check(
          backend, [Part(rows: 3, context: 20), Part(rows: 1, context: 34)], heads: 2, kvHeads: 1,
          headDim: size, blockSize: 16, dtype: dtype, views: index % 2 == 1)
      }
    }

    @Test(arguments: BackendUnderTest.caches)
    func sequencesOfEveryKindShareOneCall(_ backend: BackendUnderTest, _ dtype: CacheType) throws {
      let backend = try backend.backend
      for (index, (heads, kvHeads)) in [(2, 2), (4, 2), (3, 1), (14, 2)].enumerated() {
        for blockSize in [16, 32] {
          try Self.check(
            backend, Self.mixed, heads: heads, kvHeads: kvHeads, headDim: 16, blockSize: blockSize,
            dtype: dtype, views: index % 2 == 0)
        }
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func longContextsAndSharpScoresFollowTheReference(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      try Self.check(
        backend, [Part(rows: 2, context: 700), Part(rows: 1, context: 513)], heads: 3, kvHeads: 1,
        headDim: 16, blockSize: 16, dtype: .f16, views: false)
      try Self.check(
        backend, [Part(rows: 33, context: 65)], heads: 2, kvHeads: 1, headDim: 16, blockSize: 16, dtype: .f32,
        views: false, sharpness: 40)
    }

    @Test(arguments: BackendUnderTest.caches)
    func aSequenceIsTheSameBitsAloneAndInABatch(_ backend: BackendUnderTest, _ dtype: CacheType) throws {
      let backend = try backend.backend
      let batch = try TestBatch(Self.mixed, blockSize: 16)
      let spec = KVCacheSpec(
        layers: 1, blocks: batch.blocks, blockSize: 16, kvHeads: 2, headDim: 24, dtype: dtype)
      let (cache, _) = try Self.filled(backend, spec, batch, layer: 0)
      let width = 6 * 24
      var random = TestRandom(2)
      let query = random.activations(batch.metadata.rows * width)
      func attend(_ query: [Float], _ metadata: BatchMetadata) throws -> [Float] {
        try backend.read(
          backend.attention(
            backend.matrix(query, width), heads: 6, scale: 0.2, layer: 0, cache: cache,
            backend.prepare(metadata)))
      }
      let whole = try attend(query, batch.metadata)
      for (index, slice) in batch.metadata.sequences.enumerated() {
        let range = (slice.rowStart * width)..<((slice.rowStart + slice.rowCount) * width)
        let alone = try attend(Array(query[range]), batch.alone(index))
        #expect(Judge.bitDifference(alone[...], whole[range]) == nil, "sequence \(index)")
      }
    }

    /// Sequences that begin with the same `shared` tokens, in the same blocks.
    static func sharing(_ shared: Int, _ parts: [Part]) throws -> (batch: TestBatch, prefill: BatchMetadata) {
      let batch = try TestBatch(parts, blockSize: 16)
      let sequences = batch.metadata.sequences
      let common = sequences[0].blockTable.prefix(shared / 16)
      var (slices, fills, start) = ([SequenceSlice](), [SequenceSlice](), 0)
      for (index, slice) in sequences.enumerated() {
        let table = common + slice.blockTable.dropFirst(shared / 16)
        slices.append(
          SequenceSlice(
            rowStart: slice.rowStart, rowCount: slice.rowCount, contextLength: slice.contextLength,
            blockTable: Array(table)))
        let count = slice.contextLength - (index == 0 ? 0 : shared)
        fills.append(
          SequenceSlice(
            rowStart: start, rowCount: count, contextLength: slice.contextLength, blockTable: Array(table)))
        start += count
      }
      let metadata = try BatchMetadata(
        tokenIDs: batch.metadata.tokenIDs, sequences: slices, blockSize: 16)
      let prefill = try BatchMetadata(
        tokenIDs: [Int32](repeating: 0, count: start), sequences: fills, blockSize: 16)
      return (TestBatch(metadata, blocks: batch.blocks), prefill)
    }

    @Test(arguments: BackendUnderTest.caches)
    func sequencesThatShareBlocksGiveTheBitsOfEachAlone(_ backend: BackendUnderTest, _ dtype: CacheType)
      throws
    {
      let backend = try backend.backend
      let parts = [141, 150, 129, 200, 131, 128, 192, 160, 144, 177].map { Part(rows: 1, context: $0) }
      let (batch, prefill) = try Self.sharing(
        112, parts + [Part(rows: 3, context: 135), Part(rows: 9, context: 140)])
      for (heads, kvHeads) in [(3, 1), (4, 2), (8, 1)] {
        let spec = KVCacheSpec(
          layers: 1, blocks: batch.blocks, blockSize: 16, kvHeads: kvHeads, headDim: 24, dtype: dtype)
        try Self.expectBitsOfEachAlone(
          backend, batch, prefill, spec, heads: heads, scale: 0.2,
          Self.tolerance(backend, headDim: 24, context: 200, cache: dtype))
      }
    }

    /// Stores `prefill`, holds the attention of `batch` to the reference, and each of its sequences to the same bits
    /// when it is alone.
    static func expectBitsOfEachAlone(
      _ backend: any Backend, _ batch: TestBatch, _ prefill: BatchMetadata, _ spec: KVCacheSpec, heads: Int,
      scale: Float, _ tolerance: Double
    ) throws {
      let cache = try backend.makeKVCache(spec)
      var reference = Reference.Cache(spec)
      let (width, keyWidth) = (heads * spec.headDim, spec.kvHeads * spec.headDim)
      var random = TestRandom(UInt64(heads))
      let key = random.floats(prefill.rows * keyWidth)
      let value = random.activations(prefill.rows * keyWidth)
      reference.store(key: key.doubles, value: value.doubles, layer: 0, prefill)
      try backend.storeKV(
        key: backend.matrix(key, keyWidth), value: backend.matrix(value, keyWidth), layer: 0, cache: cache,
        backend.prepare(prefill))
      let query = random.activations(batch.metadata.rows * width)
      func attend(_ query: [Float], _ metadata: BatchMetadata) throws -> Tensor {
        try backend.attention(
          backend.matrix(query, width), heads: heads, scale: scale, layer: 0, cache: cache,
          backend.prepare(metadata))
      }
      let whole = try attend(query, batch.metadata)
      let expected = Reference.attention(
        query.doubles, heads: heads, scale: Double(scale), layer: 0, cache: reference, batch.metadata)
      try expectClose(backend, whole, expected, tolerance, "\(heads) heads")
      let bits = try backend.read(whole)
      for (index, slice) in batch.metadata.sequences.enumerated() {
        let range = (slice.rowStart * width)..<((slice.rowStart + slice.rowCount) * width)
        let alone = try backend.read(attend(Array(query[range]), batch.alone(index)))
        #expect(Judge.bitDifference(alone[...], bits[range]) == nil, "sequence \(index), \(heads) heads")
      }
    }

    @Test(arguments: BackendUnderTest.caches)
    func tokensWrittenOneByOneMatchAPrefill(_ backend: BackendUnderTest, _ dtype: CacheType) throws {
      let backend = try backend.backend
      let (size, length) = (16, 21)
      let batch = try TestBatch([Part(rows: length, context: length)], blockSize: 16)
      let spec = KVCacheSpec(
        layers: 1, blocks: batch.blocks, blockSize: 16, kvHeads: 1, headDim: size, dtype: dtype)
      let (prefilled, reference) = try Self.filled(backend, spec, batch, layer: 0)
      _ = prefilled
      let stepwise = try backend.makeKVCache(spec)
      var random = TestRandom(UInt64(size + length))
      let key = random.floats(length * size)
      let value = random.activations(length * size)
      let query = random.floats(length * size)
      let expected = Reference.attention(
        query.doubles, heads: 1, scale: 0.25, layer: 0, cache: reference, batch.metadata)
      for token in 0..<length {
        let row = (token * size)..<(token * size + size)
        let slice = SequenceSlice(
          rowStart: 0, rowCount: 1, contextLength: token + 1,
          blockTable: batch.metadata.sequences[0].blockTable)
        let step = try backend.prepare(BatchMetadata(tokenIDs: [0], sequences: [slice], blockSize: 16))
        try backend.storeKV(
          key: backend.matrix(Array(key[row]), size), value: backend.matrix(Array(value[row]), size),
          layer: 0,
          cache: stepwise, step)
        let actual = try backend.attention(
          backend.matrix(Array(query[row]), size), heads: 1, scale: 0.25, layer: 0, cache: stepwise, step)
        let part = Reference.Result(
          values: Array(expected.values[row]), magnitudes: Array(expected.magnitudes[row]))
        try expectClose(
          backend, actual, part, Self.tolerance(backend, headDim: size, context: length, cache: dtype),
          "token \(token)")
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func operandsThatDoNotFitThrow(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let batch = try TestBatch([Part(rows: 2, context: 2)], blockSize: 16)
      let spec = KVCacheSpec(
        layers: 1, blocks: batch.blocks, blockSize: 16, kvHeads: 2, headDim: 8, dtype: .f32)
      let small = KVCacheSpec(layers: 1, blocks: 1, blockSize: 16, kvHeads: 2, headDim: 8, dtype: .f32)
      let cache = try backend.makeKVCache(spec)
      let prepared = try backend.prepare(batch.metadata)
      let x = try backend.matrix([Float](repeating: 1, count: 32), 16)
      let narrow = try backend.matrix([Float](repeating: 1, count: 30), 15)
      let foreign = try backend.prepare(
        BatchMetadata(
          tokenIDs: [0, 0],
          sequences: [SequenceSlice(rowStart: 0, rowCount: 2, contextLength: 2, blockTable: [1])],
          blockSize: 16))
      expectShapeMismatch { try backend.storeKV(key: x, value: narrow, layer: 0, cache: cache, prepared) }
      expectShapeMismatch { try backend.storeKV(key: narrow, value: x, layer: 0, cache: cache, prepared) }
      expectShapeMismatch { try backend.storeKV(key: x, value: x, layer: 1, cache: cache, prepared) }
      expectShapeMismatch {
        try backend.storeKV(key: x, value: x, layer: 0, cache: backend.makeKVCache(small), foreign)
      }
      func attend(_ query: Tensor, _ heads: Int, layer: Int = 0) throws {
        _ = try backend.attention(query, heads: heads, scale: 1, layer: layer, cache: cache, prepared)
      }
      expectShapeMismatch { try attend(narrow, 2) }
      expectShapeMismatch { try attend(x, 3) }
      expectShapeMismatch { try attend(x, 4) }
      expectShapeMismatch { try attend(x, 0) }
      expectShapeMismatch { try attend(x, 2, layer: -1) }
    }
  }
}
