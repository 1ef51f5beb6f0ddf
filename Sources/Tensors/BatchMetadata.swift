import Basics

/// One sequence's share of a step: consecutive query rows, and where its keys and values lie.
public struct SequenceSlice: Sendable, Hashable {
  /// First row of this sequence in the step's `[rows, …]` tensors.
  public let rowStart: Int
  /// Rows of this sequence in the step: 1 in decode, more in prefill.
  public let rowCount: Int
  /// Tokens in the cache after the step, `rowCount` new ones included.
  public let contextLength: Int
  /// Physical block of each `blockSize` tokens.
  public let blockTable: [Int32]

  public init(rowStart: Int, rowCount: Int, contextLength: Int, blockTable: [Int32]) {
    self.rowStart = rowStart
    self.rowCount = rowCount
    self.contextLength = contextLength
    self.blockTable = blockTable
  }
}

/// All that the layers need to know about the rows of one step; built once, passed explicitly.
public struct BatchMetadata: Sendable, Hashable {
  /// One token id a row.
  public let tokenIDs: [Int32]
  /// One position a row (its index in its sequence, from 0).
  public let positions: [Int32]
  /// The sequences, rows in order and without gaps.
  public let sequences: [SequenceSlice]
  /// Tokens in a cache block.
  public let blockSize: Int
  /// What every layer's operations ask of all rows and tables, counted once: the highest position; Σ over rows of the
  /// tokens up to each one's own; Σ over sequences of tokens in the cache; and the lowest and highest block.
  public let lastPosition: Int
  public let attendedTokens: Int
  public let cachedTokens: Int
  public let blockRange: ClosedRange<Int32>?

  public var rows: Int { tokenIDs.count }

  /// Derives positions from the slices: row r of a slice stands at `contextLength - rowCount + r`.
  ///
  /// - Throws: `invalidArgument` where slices overlap, leave gaps, or lack blocks for their context.
  public init(tokenIDs: [Int32], sequences: [SequenceSlice], blockSize: Int) throws {
    var positions: [Int32] = []
    positions.reserveCapacity(tokenIDs.count)
    for (index, slice) in sequences.enumerated() {
      let first = slice.contextLength - slice.rowCount
      guard slice.rowStart == positions.count, slice.rowCount > 0, first >= 0, blockSize > 0,
        slice.blockTable.count * blockSize >= slice.contextLength
      else {
        throw RetortError(
          .invalidArgument, "a batch slice does not fit its rows or blocks", position: "sequence \(index)",
          remedy: "This is a scheduler error; please report it.")
      }
      positions.append(contentsOf: (first..<slice.contextLength).map(Int32.init))
    }
    guard positions.count == tokenIDs.count else {
      throw RetortError(
        .invalidArgument, "\(tokenIDs.count) tokens for \(positions.count) rows",
        remedy: "This is a scheduler error; please report it.")
    }
    self.tokenIDs = tokenIDs
    self.positions = positions
    self.sequences = sequences
    self.blockSize = blockSize
    lastPosition = Int(positions.max() ?? 0)
    attendedTokens = positions.reduce(0) { $0 + Int($1) + 1 }
    cachedTokens = sequences.reduce(0) { $0 + $1.contextLength }
    let lowest = sequences.compactMap { $0.blockTable.min() }.min()
    let highest = sequences.compactMap { $0.blockTable.max() }.max()
    blockRange = lowest.flatMap { lowest in highest.map { lowest...$0 } }
  }
}

/// Batch metadata in the form that a backend's kernels read.
public protocol PreparedBatch: AnyObject, Sendable {
  var metadata: BatchMetadata { get }
}

/// Keys and values of all layers in blocks of ``blockSize`` tokens; the layout is the backend's own.
public protocol KVCache: AnyObject, Sendable {
  var spec: KVCacheSpec { get }
}

/// How the elements of keys and values are stored.
public enum CacheType: String, Sendable, CaseIterable, Hashable {
  case f32, f16, bf16
  /// Codes of 8 bits: a value has one scale a token and key head, a key one for every ``keyGroup`` numbers.
  case int8

  /// Numbers of a key that share a scale in ``int8``.
  public static let keyGroup = 32

  /// Bytes of a token's key and value of one key head, scales included.
  public func tokenBytes(headDim: Int) -> Int {
    switch self {
    case .f32: 8 * headDim
    case .f16, .bf16: 4 * headDim
    case .int8: 2 * headDim + 4 * ((headDim + CacheType.keyGroup - 1) / CacheType.keyGroup + 1)
    }
  }
}

/// The extents of a paged KV cache.
public struct KVCacheSpec: Sendable, Hashable {
  public let layers: Int
  public let blocks: Int
  public let blockSize: Int
  public let kvHeads: Int
  public let headDim: Int
  public let dtype: CacheType

  public init(layers: Int, blocks: Int, blockSize: Int, kvHeads: Int, headDim: Int, dtype: CacheType) {
    self.layers = layers
    self.blocks = blocks
    self.blockSize = blockSize
    self.kvHeads = kvHeads
    self.headDim = headDim
    self.dtype = dtype
  }

  /// Bytes of keys and values in one block over all layers.
  public var blockBytes: Int { layers * blockSize * kvHeads * dtype.tokenBytes(headDim: headDim) }
  public var byteCount: Int { blocks * blockBytes }
}
