import Basics
import CKernels
import Tensors

extension CPUBackend {
  /// The gradient of attention's queries, keys and values, in this order in one tensor of
  /// `[rows, (heads + 2 · kvHeads) · headDim]`, from its output's; `logSumExp` is the forward's, `.bf16` lets
  /// products round their operands.
  ///
  /// A sequence and key head are one task, so its keys' and values' sums need no lock and no second order.
  ///
  /// - Throws: `shapeMismatch` for operands that do not fit or belong to another backend.
  public func encoderAttentionGradient(
    _ gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor, logSumExp: Tensor,
    heads: Int, scale: Float, causal: Bool, precision: DType, _ batch: any PreparedPackedBatch
  ) throws -> Tensor {
    guard let batch = batch as? CPUPackedBatch else { throw CPUBackend.foreign("a batch") }
    let packed = batch.packed
    let forward = try EncoderAttention(
      query: query.shape, key: key.shape, value: value.shape, heads: heads, causal: causal, batch: packed)
    let operation = try EncoderAttentionGradient(
      gradient: gradient.shape, output: output.shape, logSumExp: logSumExp.shape, forward)
    let joint = try allocate(operation.outputShape, .f32)
    let (q, k, v, out) = (try floats(query), try floats(key), try floats(value), try floats(output))
    let (g, sums, result) = (try floats(gradient), try floats(logSumExp), try floats(joint))
    let (headDim, kvHeads) = (forward.headDim, forward.kvHeads)
    let group = heads / kvHeads
    let bytes =
      (rk_encoder_attention_gradient_scratch(Int32(packed.longest), Int32(headDim)) + 63) / 64 * 64
    let memory = try scratch(bytes * pool.threads)
    measured(operation) {
      pool.run(packed.sequences * kvHeads) { task, thread in
        let rows = packed.rows(of: batch.order[task / kvHeads])
        let (first, head) = (rows.lowerBound, task % kvHeads)
        let (column, shared) = (head * group * headDim, head * headDim)
        let target = result + first * joint.rowStride
        if head == 0 {
          for (base, x) in [(q, query), (k, key), (v, value), (out, output), (g, gradient), (result, joint)] {
            rk_touch_rows(base + first * x.rowStride, x.rowStride, Int32(rows.count), Int32(x.width))
          }
        }
        var work = rk_encoder_gradient(
          query: q + first * query.rowStride + column, key: k + first * key.rowStride + shared,
          value: v + first * value.rowStride + shared, output: out + first * output.rowStride + column,
          query_stride: query.rowStride, key_stride: key.rowStride, value_stride: value.rowStride,
          output_stride: output.rowStride, gradient: g + first * gradient.rowStride + column,
          gradient_stride: gradient.rowStride, log_sum_exp: sums + first * logSumExp.rowStride + head * group,
          log_sum_exp_stride: logSumExp.rowStride, query_gradient: target + column,
          key_gradient: target + operation.keyColumns.lowerBound + shared,
          value_gradient: target + operation.valueColumns.lowerBound + shared, result_stride: joint.rowStride,
          heads: Int32(group), length: Int32(rows.count), head_dim: Int32(headDim), causal: causal ? 1 : 0,
          scale: scale)
        rk_encoder_attention_gradient(&work, precision == .f32 ? 0 : 1, memory + thread * bytes)
      }
    }
    return joint
  }

  /// The gradients of first-row attention; a sequence is one task.
  ///
  /// - Throws: `shapeMismatch` for operands that do not fit.
  public func firstRowAttentionGradient(
    _ g: Tensor, query: Tensor, key: Tensor, value: Tensor, heads: Int, scale: Float,
    _ batch: any PreparedPackedBatch
  ) throws -> (query: Tensor, keyValue: Tensor) {
    let packed = batch.packed
    let operation = try FirstRowAttentionGradient(
      gradient: g.shape,
      FirstRowAttention(query: query.shape, key: key.shape, value: value.shape, heads: heads, batch: packed))
    let joint = try allocate(operation.outputShape, .f32)
    let queryGradient = try allocate(query.shape, .f32)
    let (q, k, v, source) = (try floats(query), try floats(key), try floats(value), try floats(g))
    let (result, target) = (try floats(joint), try floats(queryGradient))
    let (width, headDim) = (query.width, operation.forward.headDim)
    let room = (2 * packed.longest + 15) / 16 * 16
    let memory = try scratch(room * 4 * pool.threads).assumingMemoryBound(to: Float.self)
    measured(operation) {
      pool.run(packed.sequences) { sequence, thread in
        let rows = packed.rows(of: sequence)
        let first = rows.lowerBound
        for column in stride(from: 0, to: width, by: headDim) {
          var work = rk_encoder_gradient()
          work.query = UnsafePointer(q + sequence * query.rowStride + column)
          work.key = UnsafePointer(k + first * key.rowStride + column)
          work.value = UnsafePointer(v + first * value.rowStride + column)
          (work.key_stride, work.value_stride) = (key.rowStride, value.rowStride)
          work.gradient = UnsafePointer(source + sequence * g.rowStride + column)
          work.query_gradient = target + sequence * width + column
          work.key_gradient = result + first * joint.rowStride + column
          work.value_gradient = result + first * joint.rowStride + width + column
          work.result_stride = joint.rowStride
          (work.heads, work.length, work.head_dim) = (1, Int32(rows.count), Int32(headDim))
          work.scale = scale
          rk_first_row_gradient(&work, memory + thread * room)
        }
      }
    }
    return (queryGradient, joint)
  }
}
