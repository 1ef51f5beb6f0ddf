import Basics

/// Attention of one query a sequence of a packed batch: what the last layer needs where only first rows are read.
public struct FirstRowAttention: Operation {
  public static let name = "first_row_attention"
  public let rows: Int
  public let sequences: Int
  public let heads: Int
  public let headDim: Int

  public init(query: Shape, key: Shape, value: Shape, heads: Int, batch: PackedBatch) throws {
    try Self.require(
      query.rank == 2 && query[0] == batch.sequences && key == [batch.rows, query[1]] && value == key,
      "query \(query), key \(key), value \(value) for \(batch.sequences) sequences of \(batch.rows) rows")
    try Self.require(heads > 0 && query[1] % heads == 0, "\(heads) heads in a width of \(query[1])")
    headDim = query[1] / heads
    try Self.require(
      headDim > 0 && headDim <= EncoderAttention.maximumHeadDim,
      "head size \(headDim) is not from 1 to \(EncoderAttention.maximumHeadDim)")
    rows = batch.rows
    sequences = batch.sequences
    self.heads = heads
  }

  public var outputShape: Shape { [sequences, heads * headDim] }
  public var flops: Int { rows * heads * headDim * 4 }
  public var bytes: Int { (2 * rows + 2 * sequences) * heads * headDim * 4 }
}
