import Basics
import CKernels
import Tensors

/// The paged cache: `[layer][block][key head]`, laid out within a block as `rk_kv_view` says.
final class CPUKVCache: KVCache, Sendable {
  let spec: KVCacheSpec
  let memory: OwnedMemory

  init(_ spec: KVCacheSpec) throws {
    self.spec = spec
    // Zeroed, so that a slot never written holds no NaN.
    memory = try OwnedMemory(byteCount: spec.byteCount, zeroed: true)
  }

  func view(layer: Int, heads: Int, scale: Float) -> rk_kv_view {
    let stride = spec.blockBytes / spec.layers
    return rk_kv_view(
      cache: UnsafePointer(
        (memory.base + layer * stride * spec.blocks).assumingMemoryBound(to: UInt8.self)),
      block_stride: stride, block_size: Int32(spec.blockSize), kv_heads: Int32(spec.kvHeads),
      head_dim: Int32(spec.headDim), heads: Int32(heads), type: spec.dtype.kernelType,
      scale: scale)
  }
}

/// Cosines and sines of a step's positions, kept from layer to layer.
struct RopeTables {
  private(set) var cosines: [Float] = []
  private(set) var sines: [Float] = []
  private var spec: RoPE?
  private weak var batch: CPUBatch?

  mutating func prepare(_ spec: RoPE, _ batch: CPUBatch) {
    if self.spec == spec, self.batch === batch { return }
    self.spec = spec
    self.batch = batch
    let half = spec.rotaryDim / 2
    let frequencies = spec.frequencies
    cosines = [Float](repeating: 0, count: batch.metadata.rows * half)
    sines = cosines
    for (row, position) in batch.metadata.positions.enumerated() {
      for (index, frequency) in frequencies.enumerated() {
        let (sine, cosine) = sineAndCosine(Double(position) * frequency)
        cosines[row * half + index] = Float(cosine)
        sines[row * half + index] = Float(sine)
      }
    }
  }
}

extension CacheType {
  /// The C kernels' name of a type that a cache may have.
  fileprivate var kernelType: rk_kv_type {
    switch self {
    case .f32: RK_KV_F32
    case .f16: RK_KV_F16
    case .bf16: RK_KV_BF16
    case .int8: RK_KV_INT8
    }
  }

  /// Head sizes that the layout can hold are multiples of this.
  fileprivate var headStep: Int {
    switch self {
    case .f32, .f16: 1
    case .bf16: 2
    case .int8: 4
    }
  }
}

extension CPUBackend {
  public func checkCache(_ type: CacheType, headDim: Int) throws {
    guard headDim % type.headStep == 0 else {
      throw RetortError(
        .unsupported, "heads of \(headDim) numbers in a cache of \(type.rawValue)", field: "kv-cache",
        remedy: "Such a cache needs a multiple of \(type.headStep); use f32 or f16 (`auto`).")
    }
  }

  public func makeKVCache(_ spec: KVCacheSpec) throws -> any KVCache {
    try checkCache(spec.dtype, headDim: spec.headDim)
    guard spec.blockSize > 0, spec.blockSize % 16 == 0, spec.layers > 0, spec.blocks > 0, spec.kvHeads > 0,
      spec.headDim > 0, spec.headDim <= Attention.maximumHeadDim
    else {
      throw RetortError(
        .unsupported, "a cache of \(spec)",
        remedy: "Use blocks of a multiple of 16 tokens and heads of at most \(Attention.maximumHeadDim).")
    }
    return try CPUKVCache(spec)
  }

  /// bf16 where the processor multiplies it and heads are even, which attention reads at twice the rate of f16.
  public func cacheType(_ compute: ComputeMode, headDim: Int) -> CacheType {
    if compute == .f32 { return .f32 }
    return rk_has_avx512_bf16() != 0 && headDim % 2 == 0 ? .bf16 : .f16
  }

  public func prepare(_ batch: BatchMetadata) throws -> any PreparedBatch {
    try CPUBatch(batch, threads: pool.threads)
  }

  public func rope(_ x: Tensor, _ spec: RoPE, _ batch: any PreparedBatch) throws -> Tensor {
    guard let batch = batch as? CPUBatch else { throw CPUBackend.foreign("a batch") }
    let operation = try RotaryEmbedding(x: x.shape, spec: spec, batchRows: batch.metadata.rows)
    ropeTables.prepare(spec, batch)
    let y = try allocate(operation.outputShape, .f32)
    let (source, target) = (try floats(x), try floats(y))
    let half = spec.rotaryDim / 2
    measured(operation) {
      ropeTables.cosines.withUnsafeBufferPointer { cosines in
        ropeTables.sines.withUnsafeBufferPointer { sines in
          guard let c = cosines.baseAddress, let s = sines.baseAddress else { return }
          pool.forRanges(x.rows, minimum: 8) { range in
            for row in range {
              rk_rope(
                source + row * x.rowStride, target + row * y.rowStride, Int32(x.width / spec.headDim),
                Int32(spec.headDim), Int32(spec.rotaryDim), c + row * half, s + row * half,
                spec.pairing == .neighbours ? 1 : 0)
            }
          }
        }
      }
    }
    return y
  }

  public func storeKV(
    key: Tensor, value: Tensor, layer: Int, cache: any KVCache, _ batch: any PreparedBatch
  ) throws {
    guard let cache = cache as? CPUKVCache, let batch = batch as? CPUBatch else {
      throw CPUBackend.foreign("a cache or batch")
    }
    let metadata = batch.metadata
    let operation = try StoreKV(
      key: key.shape, value: value.shape, layer: layer, cache: cache.spec, batch: metadata)
    let (keys, values) = (try floats(key), try floats(value))
    var view = cache.view(layer: layer, heads: cache.spec.kvHeads, scale: 1)
    measured(operation) {
      withUnsafePointer(to: &view) { view in
        pool.forRanges(metadata.rows, minimum: 16) { range in
          for row in batch.rows[range] {
            let index = Int(row.row)
            rk_kv_store(
              view, row.table, row.limit - 1, keys + index * key.rowStride, values + index * value.rowStride)
          }
        }
      }
    }
  }

  public func attention(
    _ query: Tensor, heads: Int, scale: Float, layer: Int, cache: any KVCache, _ batch: any PreparedBatch
  ) throws -> Tensor {
    guard let cache = cache as? CPUKVCache, let batch = batch as? CPUBatch else {
      throw CPUBackend.foreign("a cache or batch")
    }
    let operation = try Attention(
      query: query.shape, heads: heads, layer: layer, cache: cache.spec, batch: batch.metadata)
    let y = try allocate(operation.outputShape, .f32)
    let (source, target) = (try floats(query), try floats(y))
    let scratch = attentionScratch.base.assumingMemoryBound(to: Float.self)
    let kvHeads = cache.spec.kvHeads
    var view = cache.view(layer: layer, heads: heads, scale: scale)
    measured(operation) {
      withUnsafePointer(to: &view) { view in
        pool.run(batch.shares.count * kvHeads) { task, thread in
          // Late rows of a prefill read the most: hand them out first.
          let share = batch.shares[batch.shares.count - 1 - task / kvHeads]
          guard let rows = batch.rows.baseAddress else { return }
          rk_attention(
            view, rows + share.rows.lowerBound, Int32(share.rows.count), Int32(share.sharedTokens),
            Int32(task % kvHeads), source, query.rowStride, target, y.rowStride,
            scratch + thread * CPUBackend.attentionFloats)
        }
      }
    }
    return y
  }
}
