import Basics
import Tensors

/// Sequences in a paged cache whose blocks lie scattered and out of order.
public struct TestBatch: Sendable {
  /// One sequence's share of a step.
  public struct Part: Sendable {
    public let rows: Int
    public let context: Int

    /// `rows` new tokens, `context` tokens in all.
    public init(rows: Int, context: Int) {
      self.rows = rows
      self.context = context
    }
  }

  public let metadata: BatchMetadata
  /// Blocks that the cache needs, with some that nobody uses.
  public let blocks: Int

  /// Deals the blocks of a shuffled pool to the sequences, one block a sequence in turn.
  public init(_ parts: [Part], blockSize: Int, seed: UInt64 = 1, vocabulary: Int = 100) throws {
    var random = TestRandom(seed)
    let needed = parts.map { ($0.context + blockSize - 1) / blockSize }
    blocks = needed.reduce(3, +)
    var pool = (0..<Int32(blocks)).shuffled(using: &random)
    var tables = [[Int32]](repeating: [], count: parts.count)
    for turn in 0..<(needed.max() ?? 0) {
      for index in parts.indices where turn < needed[index] { tables[index].append(pool.removeLast()) }
    }
    var slices: [SequenceSlice] = []
    var start = 0
    for (part, table) in zip(parts, tables) {
      slices.append(
        SequenceSlice(rowStart: start, rowCount: part.rows, contextLength: part.context, blockTable: table))
      start += part.rows
    }
    metadata = try BatchMetadata(
      tokenIDs: random.ids(start, below: vocabulary), sequences: slices, blockSize: blockSize)
  }

  /// A step made elsewhere.
  public init(_ metadata: BatchMetadata, blocks: Int) {
    self.metadata = metadata
    self.blocks = blocks
  }

  /// The step that fills the cache with all tokens of every sequence, for tests of a later step.
  public func wholePrefill() throws -> BatchMetadata {
    var start = 0
    let slices = metadata.sequences.map { slice in
      defer { start += slice.contextLength }
      return SequenceSlice(
        rowStart: start, rowCount: slice.contextLength, contextLength: slice.contextLength,
        blockTable: slice.blockTable)
    }
    return try BatchMetadata(
      tokenIDs: [Int32](repeating: 0, count: start), sequences: slices, blockSize: metadata.blockSize)
  }

  /// The step of one of the sequences alone, in the same blocks.
  public func alone(_ index: Int) throws -> BatchMetadata {
    let slice = metadata.sequences[index]
    let ids = metadata.tokenIDs[slice.rowStart..<(slice.rowStart + slice.rowCount)]
    let moved = SequenceSlice(
      rowStart: 0, rowCount: slice.rowCount, contextLength: slice.contextLength, blockTable: slice.blockTable)
    return try BatchMetadata(tokenIDs: Array(ids), sequences: [moved], blockSize: metadata.blockSize)
  }

  /// One-row sequences, for operations that need positions only.
  public static func positions(_ positions: [Int]) throws -> BatchMetadata {
    let slices = positions.enumerated().map { row, position in
      SequenceSlice(
        rowStart: row, rowCount: 1, contextLength: position + 1,
        blockTable: [Int32](repeating: 0, count: position / 16 + 1))
    }
    return try BatchMetadata(
      tokenIDs: [Int32](repeating: 0, count: positions.count), sequences: slices, blockSize: 16)
  }

  /// A batch that looks up the given ids.
  public static func lookups(_ ids: [Int32]) throws -> BatchMetadata {
    let slices = ids.indices.map {
      SequenceSlice(rowStart: $0, rowCount: 1, contextLength: 1, blockTable: [0])
    }
    return try BatchMetadata(tokenIDs: ids, sequences: slices, blockSize: 16)
  }
}
