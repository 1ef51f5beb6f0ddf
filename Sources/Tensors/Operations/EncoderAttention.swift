import Basics

/// Attention within each sequence of a packed batch: every row reads all rows of its own sequence, or where it is
/// causal those up to itself; query heads that stand together share a key head.
public struct EncoderAttention: Operation {
  /// What the operation returns.
  public struct Output: Sendable {
    /// `[rows, heads · headDim]`.
    public let output: Tensor
    /// `ln Σ exp(scale · q·k)` of every row and head, `[rows, heads]`, where it was asked for: the gradient
    /// computes the weights again from it.
    public let logSumExp: Tensor?

    public init(output: Tensor, logSumExp: Tensor?) {
      self.output = output
      self.logSumExp = logSumExp
    }

    /// ``logSumExp`` where it was asked for.
    ///
    /// - Throws: `deviceFailure` where the operation did not give it.
    public func requireLogSumExp() throws -> Tensor {
      guard let logSumExp else {
        throw RetortError(
          .deviceFailure, "attention gave no log of sums", remedy: "Report this: the operation is wrong.")
      }
      return logSumExp
    }
  }

  public static let name = "encoder_attention"
  public static let maximumHeadDim = 256
  public let rows: Int
  public let heads: Int
  /// Key heads, from the key's width.
  public let kvHeads: Int
  public let headDim: Int
  /// Rows read, summed over all rows: Σ over sequences of length², or of length · (length + 1) / 2 where causal.
  public let pairs: Int

  /// `query` is `[rows, heads · headDim]`, `key` and `value` are `[rows, kvHeads · headDim]`.
  public init(query: Shape, key: Shape, value: Shape, heads: Int, causal: Bool = false, batch: PackedBatch)
    throws
  {
    try Self.require(
      query.rank == 2 && query[0] == batch.rows && key.rank == 2 && key[0] == batch.rows && value == key,
      "query \(query), key \(key), value \(value) for \(batch.rows) rows")
    try Self.require(heads > 0 && query[1] % heads == 0, "\(heads) heads in a width of \(query[1])")
    headDim = query[1] / heads
    try Self.require(
      headDim > 0 && headDim <= Self.maximumHeadDim,
      "head size \(headDim) is not from 1 to \(Self.maximumHeadDim)")
    kvHeads = key[1] / headDim
    try Self.require(
      kvHeads > 0 && key[1] % headDim == 0 && heads % kvHeads == 0,
      "a key of width \(key[1]) for \(heads) heads of \(headDim)")
    rows = batch.rows
    self.heads = heads
    pairs = (0..<batch.sequences).reduce(0) { sum, sequence in
      let length = batch.rows(of: sequence).count
      return sum + (causal ? length * (length + 1) / 2 : length * length)
    }
  }

  public var outputShape: Shape { [rows, heads * headDim] }
  public var logSumExpShape: Shape { [rows, heads] }
  public var flops: Int { pairs * heads * headDim * 4 }
  public var bytes: Int { 8 * rows * (heads + kvHeads) * headDim }
}

extension Backend {
  /// ``encoderAttention(query:key:value:heads:scale:causal:precision:wantsLogSumExp:_:)`` in which every row reads
  /// all rows of its sequence.
  public func encoderAttention(
    query: Tensor, key: Tensor, value: Tensor, heads: Int, scale: Float, precision: DType,
    wantsLogSumExp: Bool, _ batch: any PreparedPackedBatch
  ) throws -> EncoderAttention.Output {
    try encoderAttention(
      query: query, key: key, value: value, heads: heads, scale: scale, causal: false, precision: precision,
      wantsLogSumExp: wantsLogSumExp, batch)
  }
}

/// The gradient of ``EncoderAttention``: of its queries, keys and values, side by side in one tensor.
///
/// The weights come again from the log-sum-exp (FlashAttention-2, Dao 2023), so that no matrix of them is kept.
public struct EncoderAttentionGradient: Operation {
  public static let name = "encoder_attention_gradient"
  public let forward: EncoderAttention

  /// `gradient` and `output` have the forward output's shape, `logSumExp` is `[rows, heads]`.
  public init(gradient: Shape, output: Shape, logSumExp: Shape, _ forward: EncoderAttention) throws {
    try Self.require(
      gradient == forward.outputShape && output == forward.outputShape,
      "gradient \(gradient) and output \(output) for an output of \(forward.outputShape)")
    try Self.require(
      logSumExp == forward.logSumExpShape, "log-sum-exp \(logSumExp), expected \(forward.logSumExpShape)")
    self.forward = forward
  }

  /// The queries' columns of the result, then the keys', then the values'.
  public var queryColumns: Range<Int> { 0..<forward.heads * forward.headDim }
  public var keyColumns: Range<Int> {
    queryColumns.upperBound..<queryColumns.upperBound + forward.kvHeads * forward.headDim
  }
  public var valueColumns: Range<Int> {
    keyColumns.upperBound..<keyColumns.upperBound + forward.kvHeads * forward.headDim
  }

  /// `[rows, (heads + 2 · kvHeads) · headDim]`.
  public var outputShape: Shape { [forward.rows, valueColumns.upperBound] }
  /// Five products for each row read, against the forward's two.
  public var flops: Int { forward.pairs * forward.heads * forward.headDim * 10 }
  public var bytes: Int {
    4 * forward.rows * ((4 * forward.heads + 4 * forward.kvHeads) * forward.headDim + forward.heads)
  }
}

extension Tape {
  /// Attention within each sequence of a packed batch over a joint `[rows, (heads + 2 · keyHeads) · headDim]` of
  /// queries, keys and values: `[rows, heads · headDim]`.
  public func encoderAttention(
    _ joint: Variable, heads: Int, keyHeads: Int, scale: Float, causal: Bool,
    _ batch: any PreparedPackedBatch
  ) throws -> Variable {
    guard heads > 0, keyHeads > 0, joint.width % (heads + 2 * keyHeads) == 0 else {
      throw RetortError(
        .shapeMismatch, "encoder_attention: a width of \(joint.width) for \(heads) and \(keyHeads) heads",
        remedy: "Give queries, keys and values side by side.")
    }
    let headDim = joint.width / (heads + 2 * keyHeads)
    let (first, second) = (heads * headDim, (heads + keyHeads) * headDim)
    let query = try joint.value.columns(0..<first)
    let key = try joint.value.columns(first..<second)
    let value = try joint.value.columns(second..<joint.width)
    let forward = try backend.encoderAttention(
      query: query, key: key, value: value, heads: heads, scale: scale, causal: causal,
      precision: precision, wantsLogSumExp: true, batch)
    return record(forward.output, from: [joint]) { [self] g in
      let gradient = try backend.encoderAttentionGradient(
        g, query: query, key: key, value: value, output: forward.output,
        logSumExp: forward.requireLogSumExp(), heads: heads, scale: scale, causal: causal,
        precision: precision, batch)
      try add(gradient, to: joint)
    }
  }
}
