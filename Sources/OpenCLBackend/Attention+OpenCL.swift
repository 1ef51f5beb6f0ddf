import Basics
import OpenCLRuntime
import Tensors

/// Keys and values, one buffer of each a layer; layouts are in the families' attention kernels.
final class OpenCLKVCache: KVCache {
  let spec: KVCacheSpec
  let keys: [OpenCLBuffer]
  let values: [OpenCLBuffer]

  init(_ spec: KVCacheSpec, _ backend: OpenCLBackend) throws {
    try backend.checkCache(spec.dtype, headDim: spec.headDim)
    guard spec.layers > 0, spec.blocks > 0, spec.blockSize > 0, spec.kvHeads > 0, spec.headDim > 0,
      spec.headDim <= Attention.maximumHeadDim,
      Shape([spec.blocks, spec.blockSize]).checkedCount.map({ $0 <= Int(Int32.max) }) == true
    else {
      throw RetortError(
        .invalidArgument, "a KV cache of \(spec)",
        remedy: "Use positive extents, a head size of at most \(Attention.maximumHeadDim).")
    }
    self.spec = spec
    let cpu = backend.family == .cpu
    let tokens = cpu ? (spec.blockSize + 15) / 16 * 16 : spec.blockSize
    let columns = backend.registerTile.columns
    let width = cpu ? (spec.headDim + columns - 1) / columns * columns : spec.headDim
    let elementBytes = spec.dtype == .f32 ? 4 : 2
    let keyShape = Shape([spec.blocks, spec.kvHeads, tokens, spec.headDim, elementBytes])
    let valueShape = Shape([spec.blocks, spec.kvHeads, spec.blockSize, width, elementBytes])
    guard let keyBytes = keyShape.checkedCount, let valueBytes = valueShape.checkedCount else {
      throw RetortError(
        .outOfMemory, "a KV cache of \(spec)", remedy: "Use a smaller `--context` or `--batch`.")
    }
    try Self.requireFit(spec, layerBytes: keyBytes.addingReportingOverflow(valueBytes), backend)
    keys = try (0..<spec.layers).map { _ in try Self.buffer(keyBytes, backend) }
    values = try (0..<spec.layers).map { _ in try Self.buffer(valueBytes, backend) }
  }

  /// - Throws: `outOfMemory` that names the excess and the tokens that would fit, before anything is allocated.
  private static func requireFit(
    _ spec: KVCacheSpec, layerBytes: (partialValue: Int, overflow: Bool), _ backend: OpenCLBackend
  ) throws {
    let free = backend.freeMemoryBytes
    let (bytes, overflow) = layerBytes.partialValue.multipliedReportingOverflow(by: spec.layers)
    guard layerBytes.overflow || overflow || bytes > free else { return }
    let whole = layerBytes.overflow || overflow ? Int.max : bytes
    let blocks = Int(Double(spec.blocks) * Double(free) / Double(whole))
    throw RetortError(
      .outOfMemory,
      "a KV cache of \(spec.blocks * spec.blockSize) tokens takes \(whole / 1_000_000) MB and "
        + "\(free / 1_000_000) MB are free: \((whole - free) / 1_000_000) MB too much",
      field: backend.device.name,
      remedy: "Use a smaller `--context` or `--batch`; \(blocks * spec.blockSize) tokens would fit"
        + (spec.dtype == .f32 ? ", twice as many with two bytes a number (`--compute bf16` or lean)." : "."))
  }

  private static func buffer(_ bytes: Int, _ backend: OpenCLBackend) throws -> OpenCLBuffer {
    let buffer = try backend.context.makeBuffer(byteCount: bytes, pooled: false)
    try backend.context.zero(buffer)
    return buffer
  }
}

extension OpenCLBackend {
  public func checkCache(_ type: CacheType, headDim: Int) throws {
    guard type == .f32 || type == .f16 else {
      throw RetortError(
        .unsupported, "a cache in \(type.rawValue) exists on the CPU backend only", field: "kv-cache",
        remedy: "Use `--kv-cache auto` or f32, or `--backend cpu`.")
    }
  }

  public func makeKVCache(_ spec: KVCacheSpec) throws -> any KVCache { try OpenCLKVCache(spec, self) }

  public func storeKV(
    key: Tensor, value: Tensor, layer: Int, cache: any KVCache, _ batch: any PreparedBatch
  ) throws {
    let spec = cache.spec
    let operation = try StoreKV(
      key: key.shape, value: value.shape, layer: layer, cache: spec, batch: batch.metadata)
    guard let cache = cache as? OpenCLKVCache else { throw foreign("cache") }
    guard let batch = batch as? OpenCLBatch else { throw foreign("batch") }
    let (keys, values) = (try FloatView(key), try FloatView(value))
    let arguments: [KernelArgument] = [
      .buffer("key", keys.buffer), .uint("key_offset", keys.offset), .uint("key_stride", keys.stride),
      .buffer("value", values.buffer), .uint("value_offset", values.offset),
      .uint("value_row_stride", values.stride), .buffer("keys", cache.keys[layer]),
      .buffer("values", cache.values[layer]), .buffer("slots", batch.slots),
      .uint("kv_heads", UInt32(spec.kvHeads)),
    ]
    if family == .gpu {
      let kernel = try splitKernel("store_kv", spec, "")
      try launchItems(kernel, arguments, spec.kvHeads * spec.headDim, operation.rows)
    } else {
      try launchItems(
        try lanesKernel("store_kv", spec),
        arguments + [
          .uint("head_dim", UInt32(spec.headDim)), .uint("block_size", UInt32(spec.blockSize)),
        ], spec.kvHeads, operation.rows)
    }
    try record(operation)
  }

  public func attention(
    _ query: Tensor, heads: Int, scale: Float, layer: Int, cache: any KVCache, _ batch: any PreparedBatch
  ) throws -> Tensor {
    let spec = cache.spec
    let operation = try Attention(
      query: query.shape, heads: heads, layer: layer, cache: spec, batch: batch.metadata)
    guard let cache = cache as? OpenCLKVCache else { throw foreign("cache") }
    guard let batch = batch as? OpenCLBatch else { throw foreign("batch") }
    let input = try FloatView(query)
    let y = try allocate(operation.outputShape, .f32)
    guard operation.rows > 0 else { return y }
    if family == .gpu {
      try attendSplit(input, heads: heads, scale: scale, layer: layer, cache: cache, batch, y)
    } else {
      try attendLanes(input, heads: heads, scale: scale, layer: layer, cache: cache, batch, y)
    }
    try record(operation)
    return y
  }

  /// Attention on CPU-class devices: a work-item a key head and item of an ``AttentionPlan`` that splits no row.
  private func attendLanes(
    _ query: FloatView, heads: Int, scale: Float, layer: Int, cache: OpenCLKVCache, _ batch: OpenCLBatch,
    _ y: Tensor
  ) throws {
    let spec = cache.spec
    let group = heads / spec.kvHeads
    let queries = laneQueries(batch.metadata.rows * group, kvHeads: spec.kvHeads)
    let shape = AttentionShape.lanes(queries: queries, blockSize: spec.blockSize)
    let plan = try batch.plan(group: group, kvHeads: spec.kvHeads, shape, self)
    for (_, items, count) in plan.launches {
      try launchItems(
        try lanesKernel("attention", spec),
        [
          .buffer("q", query.buffer), .uint("q_offset", query.offset), .uint("q_stride", query.stride),
          .buffer("keys", cache.keys[layer]), .buffer("values", cache.values[layer]),
          .buffer("rows", plan.rows), .buffer("items", items), .buffer("segments", plan.segments),
          .buffer("tables", batch.tables), .buffer("y", try FloatView(y).buffer),
          .uint("heads", UInt32(heads)), .uint("kv_heads", UInt32(spec.kvHeads)),
          .uint("head_dim", UInt32(spec.headDim)), .uint("block_size", UInt32(spec.blockSize)),
          .float("scale", scale),
        ], spec.kvHeads, count)
    }
  }

  /// Queries of an item: fewer where the device would have less than four items a compute unit.
  private func laneQueries(_ queries: Int, kvHeads: Int) -> Int {
    let share = queries * kvHeads / (4 * device.computeUnits)
    let rows = registerTile.rows
    return min(tuned.attentionQueries, max(1, share / rows) * rows)
  }

  private func lanesKernel(_ name: StaticString, _ spec: KVCacheSpec) throws -> OpenCLKernel {
    try library.kernel(
      .attentionLanes, name,
      "-DKV_HALF=\(spec.dtype == .f16 ? 1 : 0) -DVEC=16 -DGROUP=1 " + registerTile.options)
  }
}
