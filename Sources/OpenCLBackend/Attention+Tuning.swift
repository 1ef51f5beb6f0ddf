import Basics
import OpenCLRuntime
import Tensors

extension TunableKernel {
  /// `attention` on CPU-class devices: queries of an item at most, in tiles one after another. Each is summed by itself.
  public static let attentionCPU = TunableKernel(
    "attention_lanes.cpu", family: .cpu,
    parameters: [TunableParameter("queries", [6, 12, 24])],
    trial: { backend, _ in try attentionTrial(backend, tokens: 512) })

  /// `attention` on GPU-class devices: tokens of a chunk that a group can take alone, and items of a group where
  /// there are no tensor cores (the encoder's too).
  public static let attentionGPU = TunableKernel(
    "attention.gpu", family: .gpu, bitsOf: .generation,
    parameters: [
      TunableParameter("ITEMS", [64, 128]),
      TunableParameter("SPLIT", [128, 256, 512, 1024], changesBits: true),
    ],
    objection: { parameters, device in groupObjection(parameters["ITEMS"], device) },
    trial: { backend, _ in try attentionTrial(backend, tokens: 640) })

  /// `encoder_attention`, which GPU-class devices use for first rows alone: items of a group, and keys of a tile.
  public static let encoderAttentionGPU = TunableKernel(
    "encoder_attention.gpu", family: .gpu, bitsOf: .training,
    parameters: [TunableParameter("GROUP", [32, 64, 128, 256], changesBits: true)],
    objection: { parameters, device in groupObjection(parameters["GROUP"], device) },
    trial: { backend, _ in
      let (rows, heads, headDim) = (256, 4, 64)
      let joint = try TrialInputs.matrix(backend, rows, 3 * heads * headDim, seed: 9)
      let width = heads * headDim
      let q = try TrialInputs.matrix(backend, 2, width, seed: 13)
      let (k, v) = (try joint.columns(width..<(2 * width)), try joint.columns((2 * width)..<(3 * width)))
      let packed = try PackedBatch(tokenIDs: [
        [Int32](repeating: 1, count: rows / 2), [Int32](repeating: 1, count: rows / 2),
      ])
      let batch = try backend.prepare(packed)
      let operation = try FirstRowAttention(
        query: q.shape, key: k.shape, value: v.shape, heads: heads, batch: packed)
      return TuningTrial(operation) {
        try backend.firstRowAttention(query: q, key: k, value: v, heads: heads, scale: 0.125, batch)
      }
    })

  /// One prompt, four heads on two key heads.
  private static func attentionTrial(_ backend: OpenCLBackend, tokens rows: Int) throws -> TuningTrial {
    let (heads, kvHeads, headDim, blockSize) = (4, 2, 64, 16)
    let spec = KVCacheSpec(
      layers: 1, blocks: rows / blockSize, blockSize: blockSize, kvHeads: kvHeads, headDim: headDim,
      dtype: .f32)
    let cache = try backend.makeKVCache(spec)
    let slice = SequenceSlice(
      rowStart: 0, rowCount: rows, contextLength: rows, blockTable: Array(0..<Int32(rows / blockSize)))
    let metadata = try BatchMetadata(
      tokenIDs: [Int32](repeating: 0, count: rows), sequences: [slice], blockSize: blockSize)
    let batch = try backend.prepare(metadata)
    let q = try TrialInputs.matrix(backend, rows, heads * headDim, seed: 10)
    let k = try TrialInputs.matrix(backend, rows, kvHeads * headDim, seed: 11)
    let v = try TrialInputs.matrix(backend, rows, kvHeads * headDim, seed: 12)
    try backend.storeKV(key: k, value: v, layer: 0, cache: cache, batch)
    let operation = try Attention(query: q.shape, heads: heads, layer: 0, cache: spec, batch: metadata)
    return TuningTrial(operation) {
      try backend.attention(q, heads: heads, scale: 0.125, layer: 0, cache: cache, batch)
    }
  }
  /// `attention` on tensor cores (attention_mma.opencl): keys of a tile, and tokens of a chunk.
  public static let attentionWarp = TunableKernel(
    "attention_mma.nvidia", family: .gpu, needsWarps: true, bitsOf: .generation,
    parameters: [
      TunableParameter("KEYS", [32, 64], changesBits: true),
      TunableParameter("SPLIT", [128, 256, 512, 1024], changesBits: true),
    ],
    trial: { backend, _ in try attentionWarpTrial(backend) })

  /// The same: queries of a group in prefill, and for how many groups a compute unit each takes all chunks of its
  /// queries.
  public static let attentionWarpGroups = TunableKernel(
    "attention_mma_groups.nvidia", family: .gpu, needsWarps: true,
    parameters: [
      TunableParameter("QUERIES", [32, 64, 128]), TunableParameter("DIRECT_GROUPS", [1, 2, 4, 8]),
    ],
    trial: { backend, _ in try attentionWarpTrial(backend) })

  /// A prompt and some sequences that decode, in one step: they take about as long on a large GPU.
  private static func attentionWarpTrial(_ backend: OpenCLBackend) throws -> TuningTrial {
    let small = TrialInputs.areSmall(backend)
    let (heads, kvHeads, headDim, blockSize) = small ? (4, 2, 16, 16) : (32, 8, 128, 16)
    let (context, prompt, decoding) = small ? (304, 80, 2) : (2048, 1024, 16)
    let blocks = context / blockSize
    let spec = KVCacheSpec(
      layers: 1, blocks: (decoding + 1) * blocks, blockSize: blockSize, kvHeads: kvHeads, headDim: headDim,
      dtype: .f16)
    let cache = try backend.makeKVCache(spec)
    let k = try TrialInputs.matrix(backend, context, kvHeads * headDim, seed: 19)
    let v = try TrialInputs.matrix(backend, context, kvHeads * headDim, seed: 20)
    var (slices, start) = ([SequenceSlice](), 0)
    for sequence in 0...decoding {
      let table = (0..<Int32(blocks)).map { Int32(sequence * blocks) + $0 }
      let whole = SequenceSlice(rowStart: 0, rowCount: context, contextLength: context, blockTable: table)
      let filled = try BatchMetadata(
        tokenIDs: [Int32](repeating: 0, count: context), sequences: [whole], blockSize: blockSize)
      try backend.storeKV(key: k, value: v, layer: 0, cache: cache, backend.prepare(filled))
      let rows = sequence < decoding ? 1 : prompt
      slices.append(
        SequenceSlice(rowStart: start, rowCount: rows, contextLength: context, blockTable: table))
      start += rows
    }
    let metadata = try BatchMetadata(
      tokenIDs: [Int32](repeating: 0, count: start), sequences: slices, blockSize: blockSize)
    let batch = try backend.prepare(metadata)
    let q = try TrialInputs.matrix(backend, start, heads * headDim, seed: 21)
    let operation = try Attention(query: q.shape, heads: heads, layer: 0, cache: spec, batch: metadata)
    return TuningTrial(operation, tolerance: TrialInputs.warpTolerance) {
      try backend.attention(
        q, heads: heads, scale: 1 / Float(headDim).squareRoot(), layer: 0, cache: cache, batch)
    }
  }
}
