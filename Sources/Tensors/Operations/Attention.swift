import Basics

/// Causal grouped-query attention over a paged cache: head h reads key-value head `h / (heads / kvHeads)`, and
/// the row at position p reads the tokens 0…p of its own sequence.
public struct Attention: Operation {
  public static let name = "attention"
  public static let maximumHeadDim = 256
  public let rows: Int
  public let heads: Int
  public let headDim: Int
  /// Σ over rows of the tokens each one reads.
  public let attendedTokens: Int
  /// Σ over sequences of tokens in the cache.
  public let cachedTokens: Int
  public let kvHeads: Int
  /// Of a token's key and value of one key head.
  public let tokenBytes: Int

  public init(query: Shape, heads: Int, layer: Int, cache: KVCacheSpec, batch: BatchMetadata) throws {
    try Self.require(heads > 0 && heads % cache.kvHeads == 0, "\(heads) heads for \(cache.kvHeads) key heads")
    try Self.require(
      cache.headDim <= Self.maximumHeadDim, "head size \(cache.headDim) is over \(Self.maximumHeadDim)")
    try Self.require(
      query == [batch.rows, heads * cache.headDim],
      "query \(query) is not [\(batch.rows), \(heads * cache.headDim)]")
    try StoreKV.checkBlocks(layer: layer, cache: cache, batch: batch)
    rows = batch.rows
    self.heads = heads
    headDim = cache.headDim
    kvHeads = cache.kvHeads
    tokenBytes = cache.dtype.tokenBytes(headDim: cache.headDim)
    attendedTokens = batch.attendedTokens
    cachedTokens = batch.cachedTokens
  }

  public var outputShape: Shape { [rows, heads * headDim] }
  public var flops: Int { attendedTokens * heads * headDim * 4 }
  public var bytes: Int { 2 * rows * heads * headDim * 4 + cachedTokens * kvHeads * tokenBytes }
}

/// Writes a batch's keys and values into their cache slots.
public struct StoreKV: Operation {
  public static let name = "store_kv"
  public let rows: Int
  public let width: Int
  /// Of a token's keys and values as they are stored.
  public let tokenBytes: Int

  public init(key: Shape, value: Shape, layer: Int, cache: KVCacheSpec, batch: BatchMetadata) throws {
    let expected: Shape = [batch.rows, cache.kvHeads * cache.headDim]
    try Self.require(key == expected && value == expected, "key \(key), value \(value) are not \(expected)")
    try Self.checkBlocks(layer: layer, cache: cache, batch: batch)
    rows = batch.rows
    width = expected[1]
    tokenBytes = cache.kvHeads * cache.dtype.tokenBytes(headDim: cache.headDim)
  }

  static func checkBlocks(layer: Int, cache: KVCacheSpec, batch: BatchMetadata) throws {
    try require(layer >= 0 && layer < cache.layers, "layer \(layer) of a cache of \(cache.layers)")
    try require(
      batch.blockSize == cache.blockSize, "blocks of \(batch.blockSize) in a cache of \(cache.blockSize)")
    guard let blocks = batch.blockRange else { return }
    try require(
      blocks.lowerBound >= 0 && Int(blocks.upperBound) < cache.blocks, "a block is outside the cache")
  }

  public var outputShape: Shape { [rows, width] }
  public var flops: Int { 0 }
  public var bytes: Int { rows * (2 * width * 4 + tokenBytes) }
}
