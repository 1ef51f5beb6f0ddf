import Basics
import OpenCLRuntime
import Tensors

extension TunableKernel {
  /// `attention` on CPU-class devices: queries of a tile in prefill. Each is summed by itself.
  public static let attentionCPU = TunableKernel(
    "attention.cpu", family: .cpu, parameters: [TunableParameter("QUERIES", Array(1...8))],
    classes: ["prefill"], trial: { backend, _ in try attentionTrial(backend, tokens: 128) })

  /// `attention` on GPU-class devices: tokens of a chunk that a group can take alone, and items of a group where
  /// there are no tensor cores (the encoder's too).
  public static let attentionGPU = TunableKernel(
    "attention.gpu", family: .gpu,
    parameters: [
      TunableParameter("ITEMS", [64, 128]),
      TunableParameter("SPLIT", [128, 256, 512, 1024], changesBits: true),
    ],
    objection: { parameters, device in groupObjection(parameters["ITEMS"], device) },
    trial: { backend, _ in try attentionTrial(backend, tokens: 640) })

  /// `encoder_attention`, which GPU-class devices use for first rows alone: items of a group, and keys of a tile.
  public static let encoderAttentionGPU = TunableKernel(
    "encoder_attention.gpu", family: .gpu,
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
}
