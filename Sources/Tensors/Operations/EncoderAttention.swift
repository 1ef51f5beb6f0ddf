import Basics

/// Bidirectional attention within each sequence of a packed batch: every row reads all rows of its own sequence.
public struct EncoderAttention: Operation {
  /// What the operation returns.
  public struct Output: Sendable {
    /// `[rows, heads · headDim]`.
    public let output: Tensor
    /// `ln Σ exp(scale · q·k)` of every row and head, `[rows, heads]`, where it was asked for: a backward pass
    /// computes the weights again from it.
    public let logSumExp: Tensor?

    public init(output: Tensor, logSumExp: Tensor?) {
      self.output = output
      self.logSumExp = logSumExp
    }
  }

  public static let name = "encoder_attention"
  public static let maximumHeadDim = 256
  public let rows: Int
  public let heads: Int
  public let headDim: Int
  /// Σ over sequences of length².
  public let pairs: Int

  public init(query: Shape, key: Shape, value: Shape, heads: Int, batch: PackedBatch) throws {
    try Self.require(
      query.rank == 2 && query[0] == batch.rows && key == query && value == query,
      "query \(query), key \(key), value \(value) for \(batch.rows) rows")
    try Self.require(heads > 0 && query[1] % heads == 0, "\(heads) heads in a width of \(query[1])")
    headDim = query[1] / heads
    try Self.require(
      headDim > 0 && headDim <= Self.maximumHeadDim,
      "head size \(headDim) is not from 1 to \(Self.maximumHeadDim)")
    rows = batch.rows
    self.heads = heads
    pairs = (0..<batch.sequences).reduce(0) { $0 + batch.rows(of: $1).count * batch.rows(of: $1).count }
  }

  public var outputShape: Shape { [rows, heads * headDim] }
  public var logSumExpShape: Shape { [rows, heads] }
  public var flops: Int { pairs * heads * headDim * 4 }
  public var bytes: Int { 4 * rows * heads * headDim * 4 }
}
