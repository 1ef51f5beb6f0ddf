import Basics
import Tensors

extension ReferenceBackend {
  final class Packed: PreparedPackedBatch {
    let packed: PackedBatch
    init(_ packed: PackedBatch) { self.packed = packed }
  }

  public func prepare(_ batch: PackedBatch) throws -> any PreparedPackedBatch { Packed(batch) }

  public func embeddingSum(
    words: any EmbeddingTable, positions: any EmbeddingTable, types: (any EmbeddingTable)?,
    _ batch: any PreparedPackedBatch
  ) throws -> Tensor {
    let packed = batch.packed
    let operation = try EmbeddingSum(words: words, positions: positions, types: types, packed)
    let width = operation.width
    var values = [Double](repeating: 0, count: packed.rows * width)
    let lookups =
      [(words, packed.tokenIDs), (positions, packed.positions)] + (types.map { [($0, packed.typeIDs)] } ?? [])
    for (table, ids) in lookups {
      let table = try cast(table, Table.self)
      for (row, id) in ids.enumerated() {
        for c in 0..<width { values[row * width + c] += table.values[Int(id) * width + c] }
      }
    }
    return try upload(exact: values, shape: operation.outputShape)
  }

  public func encoderAttention(
    query: Tensor, key: Tensor, value: Tensor, heads: Int, scale: Float, causal: Bool, precision: DType,
    wantsLogSumExp: Bool,
    _ batch: any PreparedPackedBatch
  ) throws -> EncoderAttention.Output {
    let operation = try EncoderAttention(
      query: query.shape, key: key.shape, value: value.shape, heads: heads, causal: causal,
      batch: batch.packed)
    let expected = Reference.encoderAttention(
      try doubles(query), try doubles(key), try doubles(value), heads: heads, scale: Double(scale),
      causal: causal, batch.packed)
    return EncoderAttention.Output(
      output: try result(expected.output, operation),
      logSumExp: wantsLogSumExp
        ? try upload(exact: expected.logSumExp.values, shape: operation.logSumExpShape) : nil)
  }

  public func encoderAttentionGradient(
    _ gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor, logSumExp: Tensor,
    heads: Int, scale: Float, causal: Bool, precision: DType, _ batch: any PreparedPackedBatch
  ) throws -> Tensor {
    let operation = try EncoderAttentionGradient(
      gradient: gradient.shape, output: output.shape, logSumExp: logSumExp.shape,
      EncoderAttention(
        query: query.shape, key: key.shape, value: value.shape, heads: heads, causal: causal,
        batch: batch.packed))
    let expected = Reference.encoderAttentionGradient(
      try doubles(gradient), query: try doubles(query), key: try doubles(key), value: try doubles(value),
      heads: heads, scale: Double(scale), causal: causal, batch.packed)
    return try result(expected, operation)
  }

  public func firstRowAttention(
    query: Tensor, key: Tensor, value: Tensor, heads: Int, scale: Float, _ batch: any PreparedPackedBatch
  ) throws -> Tensor {
    let operation = try FirstRowAttention(
      query: query.shape, key: key.shape, value: value.shape, heads: heads, batch: batch.packed)
    let expected = Reference.firstRowAttention(
      try doubles(query), try doubles(key), try doubles(value), heads: heads, scale: Double(scale),
      batch.packed)
    return try result(expected, operation)
  }

  public func meanPool(_ x: Tensor, _ batch: any PreparedPackedBatch) throws -> Tensor {
    let operation = try MeanPool(x.shape, batch: batch.packed)
    return try result(Reference.meanPool(doubles(x), width: x.width, batch.packed), operation)
  }

  public func l2Normalize(_ x: Tensor, epsilon: Float) throws -> Tensor {
    let operation = try L2Normalize(x.shape)
    return try result(Reference.l2Normalize(doubles(x), width: x.width, epsilon: Double(epsilon)), operation)
  }
}
