import Basics
import OpenCLRuntime
import Tensors

extension OpenCLBackend {
  /// Attention on GPU-class devices: the launches of an ``AttentionPlan``, then the rows that were split put together.
  func attendSplit(
    _ query: FloatView, heads: Int, scale: Float, layer: Int, cache: OpenCLKVCache, _ batch: OpenCLBatch,
    _ y: Tensor
  ) throws {
    let spec = cache.spec
    let group = heads / spec.kvHeads
    let shape = attentionShape(spec, group: group)
    let plan = try batch.plan(group: group, kvHeads: spec.kvHeads, shape, self)
    let output = try FloatView(y).buffer
    // Buffers must be passed where no row is split too; the kernels do not touch them.
    let partial = try allocate([max(1, plan.slots), heads * spec.headDim], .f32)
    let sums = try allocate([max(1, plan.slots), heads * 2], .f32)
    let (partials, sumsBuffer) = (try FloatView(partial).buffer, try FloatView(sums).buffer)
    for (launch, items, count) in plan.launches {
      let kernel = try splitKernel(
        "attention", spec, shape.options(queries: launch.queries) + "-DDIRECT=\(launch.direct ? 1 : 0) ",
        shape.variant)
      let group = shape.items(queries: launch.queries)
      try context.launch(
        kernel,
        [
          .buffer("q", query.buffer), .uint("q_offset", query.offset), .uint("q_stride", query.stride),
          .buffer("keys", cache.keys[layer]), .buffer("values", cache.values[layer]),
          .buffer("rows", plan.rows), .buffer("items", items), .buffer("segments", plan.segments),
          .buffer("tables", batch.tables), .buffer("y", output), .buffer("partial", partials),
          .buffer("sums", sumsBuffer), .uint("heads", UInt32(heads)),
          .uint("kv_heads", UInt32(spec.kvHeads)), .float("scale", scale),
        ], global: (group * spec.kvHeads, count, 1), local: (group, 1, 1))
    }
    guard plan.mergeCount > 0 else { return }
    let width = 64
    try context.launch(
      try splitKernel(
        "attention_merge", spec, shape.options(queries: shape.narrowQueries), shape.variant),
      [
        .buffer("partial", partials), .buffer("sums", sumsBuffer), .buffer("rows", plan.merges),
        .buffer("y", output), .uint("heads", UInt32(heads)),
      ], global: ((heads * spec.headDim + width - 1) / width * width, plan.mergeCount, 1),
      local: (width, 1, 1))
  }

  private func attentionShape(_ spec: KVCacheSpec, group: Int) -> AttentionShape {
    if features.warpInstructions != .none, spec.dtype == .f16,
      let shape = AttentionShape.tensorCores(
        headDim: spec.headDim, computeUnits: device.computeUnits, bits: tuned.warps.attention,
        groups: tuned.warps.attentionGroups)
    {
      return shape
    }
    return .portable(
      headDim: spec.headDim, group: group, localMemoryBytes: context.device.localMemoryBytes,
      computeUnits: device.computeUnits, tuned: tuned.attention)
  }

  /// Compilers for CPUs take four times as long over unrolled tiles, and gain nothing by them.
  var tileOptions: KernelOptions { context.device.kind == .cpu ? "-DUNROLL= " : "" }

  /// A kernel over the cache of GPU-class devices.
  func splitKernel(
    _ name: StaticString, _ spec: KVCacheSpec, _ options: KernelOptions,
    _ variant: AttentionShape.Variant = .portable
  ) throws -> OpenCLKernel {
    let common: KernelOptions = "-DVEC=1 -DDIM=\(spec.headDim) -DBLOCK=\(spec.blockSize) " + options
    switch variant {
    case .portable:
      return try library.kernel(
        .attention, name,
        common + tileOptions + "-DKV_HALF=\(spec.dtype == .f16 ? 1 : 0) ")
    case .tensorCores:
      return try library.kernel(.attentionMMA, name, common + warpOptions)
    }
  }
}
