import Basics
import CKernels
import Tensors

/// A packed batch: the kernels read the Swift arrays themselves.
final class CPUPackedBatch: PreparedPackedBatch, Sendable {
  let packed: PackedBatch
  /// Sequences, longest first, so that the last task of an operation is a short one.
  let order: [Int]

  init(_ packed: PackedBatch) {
    self.packed = packed
    order = (0..<packed.sequences).sorted { packed.rows(of: $0).count > packed.rows(of: $1).count }
  }
}

extension CPUBackend {
  public func prepare(_ batch: PackedBatch) throws -> any PreparedPackedBatch { CPUPackedBatch(batch) }

  public func embeddingSum(
    words: any EmbeddingTable, positions: any EmbeddingTable, types: (any EmbeddingTable)?,
    _ batch: any PreparedPackedBatch
  ) throws -> Tensor {
    let packed = batch.packed
    let operation = try EmbeddingSum(words: words, positions: positions, types: types, packed)
    guard let words = words as? CPUTable, let positions = positions as? CPUTable,
      types == nil || types is CPUTable
    else { throw CPUBackend.foreign("a table") }
    let y = try allocate(operation.outputShape, .f32)
    let out = try floats(y)
    let width = operation.width
    let added = [(positions, packed.positions)] + ((types as? CPUTable).map { [($0, packed.typeIDs)] } ?? [])
    measured(operation) {
      pool.forRanges(packed.rows, minimum: 8) { range in
        withUnsafeTemporaryAllocation(of: Float.self, capacity: width) { scratch in
          guard let other = scratch.baseAddress else { return }
          for row in range {
            let target = out + row * width
            let word = words.checked
            rk_dequantize(word.type, word.row(Int(packed.tokenIDs[row])), target, width)
            for (table, ids) in added {
              rk_dequantize(table.checked.type, table.checked.row(Int(ids[row])), other, width)
              rk_add(target, other, target, Int32(width))
            }
          }
        }
      }
    }
    return y
  }

  public func encoderAttention(
    query: Tensor, key: Tensor, value: Tensor, heads: Int, scale: Float, causal: Bool, precision: DType,
    wantsLogSumExp: Bool,
    _ batch: any PreparedPackedBatch
  ) throws -> EncoderAttention.Output {
    guard let batch = batch as? CPUPackedBatch else { throw CPUBackend.foreign("a batch") }
    let packed = batch.packed
    let operation = try EncoderAttention(
      query: query.shape, key: key.shape, value: value.shape, heads: heads, causal: causal, batch: packed)
    let y = try allocate(operation.outputShape, .f32)
    let sums = wantsLogSumExp ? try allocate(operation.logSumExpShape, .f32) : nil
    let (q, k, v, out) = (try floats(query), try floats(key), try floats(value), try floats(y))
    let logSumExp = try sums.map(floats)
    let headDim = operation.headDim
    let bytes = (rk_encoder_attention_scratch(Int32(packed.longest), Int32(headDim)) + 63) / 64 * 64
    let memory = try scratch(bytes * pool.threads)
    measured(operation) {
      pool.run(packed.sequences * heads) { task, thread in
        let rows = packed.rows(of: batch.order[task / heads])
        let head = task % heads
        let column = head * headDim
        let shared = head / (heads / operation.kvHeads) * headDim
        var work = rk_encoder_head(
          query: q + rows.lowerBound * query.rowStride + column,
          key: k + rows.lowerBound * key.rowStride + shared,
          value: v + rows.lowerBound * value.rowStride + shared, query_stride: query.rowStride,
          key_stride: key.rowStride, value_stride: value.rowStride,
          out: out + rows.lowerBound * y.rowStride + column, out_stride: y.rowStride,
          log_sum_exp: logSumExp.map { $0 + rows.lowerBound * heads + head }, log_sum_exp_stride: heads,
          length: Int32(rows.count), head_dim: Int32(headDim), causal: causal ? 1 : 0,
          scale: scale)
        rk_encoder_attention(&work, precision == .f32 ? 0 : 1, memory + thread * bytes)
      }
    }
    return EncoderAttention.Output(output: y, logSumExp: sums)
  }

  public func firstRowAttention(
    query: Tensor, key: Tensor, value: Tensor, heads: Int, scale: Float, _ batch: any PreparedPackedBatch
  ) throws -> Tensor {
    let packed = batch.packed
    let operation = try FirstRowAttention(
      query: query.shape, key: key.shape, value: value.shape, heads: heads, batch: packed)
    let y = try allocate(operation.outputShape, .f32)
    let (q, k, v, out) = (try floats(query), try floats(key), try floats(value), try floats(y))
    let headDim = operation.headDim
    let room = (packed.longest + 15) / 16 * 16
    let scores = try scratch(room * 4 * pool.threads).assumingMemoryBound(to: Float.self)
    measured(operation) {
      pool.run(packed.sequences) { sequence, thread in
        let rows = packed.rows(of: sequence)
        for column in stride(from: 0, to: heads * headDim, by: headDim) {
          var work = rk_encoder_head(
            query: q + sequence * query.rowStride + column,
            key: k + rows.lowerBound * key.rowStride + column,
            value: v + rows.lowerBound * value.rowStride + column, query_stride: query.rowStride,
            key_stride: key.rowStride, value_stride: value.rowStride,
            out: out + sequence * y.rowStride + column, out_stride: y.rowStride, log_sum_exp: nil,
            log_sum_exp_stride: 0, length: Int32(rows.count), head_dim: Int32(headDim), causal: 0,
            scale: scale)
          rk_first_row_attention(&work, scores + thread * room)
        }
      }
    }
    return y
  }

  public func meanPool(_ x: Tensor, _ batch: any PreparedPackedBatch) throws -> Tensor {
    let packed = batch.packed
    let operation = try MeanPool(x.shape, batch: packed)
    let y = try allocate(operation.outputShape, .f32)
    let (source, target) = (try floats(x), try floats(y))
    measured(operation) {
      pool.forRanges(packed.sequences) { range in
        for sequence in range {
          let rows = packed.rows(of: sequence)
          rk_mean_rows(
            source + rows.lowerBound * x.rowStride, x.rowStride, Int32(rows.count),
            target + sequence * y.width, Int32(y.width))
        }
      }
    }
    return y
  }
}
