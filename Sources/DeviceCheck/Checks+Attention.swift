import Basics
import Tensors

extension DeviceCheck {
  /// Causal attention over the paged cache.
  static var attentions: [CheckCase] {
    var cases: [CheckCase] = []
    for cache in [CacheType.f32, .f16] {
      for (heads, kvHeads, headDim) in [(4, 2, 64), (8, 2, 128), (3, 1, 40), (14, 2, 64)] {
        for (name, parts) in shapes {
          cases.append(
            CheckCase(
              operation: Attention.name,
              detail: "\(name), \(heads) heads over \(kvHeads) of \(headDim), \(cache.rawValue)",
              tolerance: cache == .f32 ? CheckCase.fine : CheckCase.coarse
            ) { backend in
              let step = try PagedStep(
                parts, heads: heads, kvHeads: kvHeads, headDim: headDim, cache, backend)
              return [try backend.checked(step.attention(backend))]
            })
        }
      }
    }
    return cases + [decodeAlone]
  }

  /// New rows and tokens in all of each sequence.
  private static let shapes: [(String, [(rows: Int, context: Int)])] = [
    ("prefill", [(130, 130), (7, 7)]),
    ("chunked prefill", [(33, 200), (65, 300)]),
    ("decode", [(1, 1), (1, 64), (1, 65), (1, 300)]),
    ("decode at length", [(1, 1500), (1, 17)]),
    ("mixed", [(1, 90), (40, 40), (2, 70), (1, 16)]),
  ]

  /// A sequence decodes to the same bits beside others as alone.
  private static var decodeAlone: CheckCase {
    let parts = [(rows: 1, context: 70), (1, 200), (1, 33)]
    @Sendable func step(_ backend: any TrainingBackend) throws -> PagedStep {
      try PagedStep(parts, heads: 8, kvHeads: 2, headDim: 64, .f16, backend)
    }
    return CheckCase(
      operation: Attention.name, detail: "decode, the same bits in every batch", tolerance: 0,
      again: { backend in
        let step = try step(backend)
        let rows = try parts.indices.flatMap { try backend.read(step.alone($0, backend)) }
        return [CheckedRows(values: rows, width: 512)]
      },
      run: { [try $0.checked(step($0).attention($0))] })
  }
}

/// A step over a filled cache whose blocks lie out of order.
struct PagedStep {
  private let slices: [SequenceSlice]
  private let cache: any KVCache
  private let query: Tensor
  private let heads: Int

  init(
    _ parts: [(rows: Int, context: Int)], heads: Int, kvHeads: Int, headDim: Int, _ type: CacheType,
    _ backend: any TrainingBackend
  ) throws {
    self.heads = heads
    let needed = parts.map { ($0.context + 15) / 16 }
    let blocks = needed.reduce(0, +)
    let spec = KVCacheSpec(
      layers: 1, blocks: blocks, blockSize: 16, kvHeads: kvHeads, headDim: headDim, dtype: type)
    cache = try backend.makeKVCache(spec)
    // A stride that shares no factor with the number of blocks visits each once.
    let step = [7, 11, 13, 1].first { blocks % $0 != 0 || $0 == 1 } ?? 1
    var place = 0
    var row = 0
    var slices: [SequenceSlice] = []
    for (part, count) in zip(parts, needed) {
      let table = (place..<(place + count)).map { Int32($0 * step % blocks) }
      slices.append(
        SequenceSlice(rowStart: row, rowCount: part.rows, contextLength: part.context, blockTable: table))
      (place, row) = (place + count, row + part.rows)
    }
    self.slices = slices
    query = try backend.noise(5, [row, heads * headDim])
    for (index, slice) in slices.enumerated() {
      let all = SequenceSlice(
        rowStart: 0, rowCount: slice.contextLength, contextLength: slice.contextLength,
        blockTable: slice.blockTable)
      let shape: Shape = [slice.contextLength, kvHeads * headDim]
      try backend.storeKV(
        key: backend.noise(UInt64(20 + index), shape), value: backend.noise(UInt64(40 + index), shape),
        layer: 0,
        cache: cache, backend.prepare(PagedStep.batch([all])))
    }
  }

  func attention(_ backend: any TrainingBackend) throws -> Tensor {
    try run(query, slices, backend)
  }

  /// The step of one sequence.
  func alone(_ index: Int, _ backend: any TrainingBackend) throws -> Tensor {
    let slice = slices[index]
    let moved = SequenceSlice(
      rowStart: 0, rowCount: slice.rowCount, contextLength: slice.contextLength, blockTable: slice.blockTable)
    return try run(query.rows(slice.rowStart..<(slice.rowStart + slice.rowCount)), [moved], backend)
  }

  private func run(_ query: Tensor, _ slices: [SequenceSlice], _ backend: any TrainingBackend) throws
    -> Tensor
  {
    // Sharp enough that a wrong key shows.
    try backend.attention(
      query, heads: heads, scale: 4 / Float(query.width / heads).squareRoot(), layer: 0, cache: cache,
      backend.prepare(PagedStep.batch(slices)))
  }

  static func batch(_ slices: [SequenceSlice]) throws -> BatchMetadata {
    let rows = slices.reduce(0) { $0 + $1.rowCount }
    return try BatchMetadata(
      tokenIDs: [Int32](repeating: 0, count: rows), sequences: slices, blockSize: 16)
  }
}
