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

/// The gradient of ``FirstRowAttention``: keys' and values' side by side `[rows, 2 · width]`.
public struct FirstRowAttentionGradient: Operation {
  public static let name = "first_row_attention_gradient"
  public let forward: FirstRowAttention

  public init(gradient: Shape, _ forward: FirstRowAttention) throws {
    try Self.require(gradient == forward.outputShape, "gradient \(gradient) of \(forward.outputShape)")
    self.forward = forward
  }

  public var outputShape: Shape { [forward.rows, 2 * forward.outputShape[1]] }
  public var flops: Int { forward.rows * forward.outputShape[1] * 8 }
  public var bytes: Int { forward.rows * forward.outputShape[1] * 16 }
}

extension Tape {
  /// Attention of one query a sequence, `[sequences, width]`, over keys and values side by side `[rows, 2 · width]`.
  ///
  /// - Throws: what the backend throws.
  public func firstRowAttention(
    _ query: Variable, _ keyValue: Variable, heads: Int, scale: Float, _ batch: any PreparedPackedBatch
  ) throws -> Variable {
    let width = query.width
    let key = try keyValue.value.columns(0..<width)
    let value = try keyValue.value.columns(width..<keyValue.width)
    let y = try backend.firstRowAttention(
      query: query.value, key: key, value: value, heads: heads, scale: scale, batch)
    return record(y, from: [query, keyValue]) { [self] g in
      let gradients = try backend.firstRowAttentionGradient(
        g, query: query.value, key: key, value: value, heads: heads, scale: scale, batch)
      try add(gradients.query, to: query)
      try add(gradients.keyValue, to: keyValue)
    }
  }
}
