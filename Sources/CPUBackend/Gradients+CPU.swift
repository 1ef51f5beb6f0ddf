import Basics
import CKernels
import Tensors

/// Gradients of the operations that treat every row by itself.
extension CPUBackend {
  public func geluGradient(_ g: Tensor, x: Tensor, _ form: GELU.Form) throws -> Tensor {
    try pairwise(RowGradient<GELU>(g.shape, [x.shape], flopsPerElement: 12), g, x) {
      switch form {
      case .exact: rk_gelu_erf_gradient($0, $1, $2, $3)
      case .tanh: rk_gelu_tanh_gradient($0, $1, $2, $3)
      }
    }
  }

  public func tanhGradient(_ g: Tensor, y: Tensor) throws -> Tensor {
    try pairwise(RowGradient<Tanh>(g.shape, [y.shape], flopsPerElement: 3), g, y) {
      rk_tanh_gradient($0, $1, $2, $3)
    }
  }

  public func softmaxGradient(_ g: Tensor, y: Tensor) throws -> Tensor {
    try pairwise(RowGradient<Softmax>(g.shape, [y.shape], flopsPerElement: 4), g, y) {
      rk_softmax_gradient($0, $1, $2, $3)
    }
  }

  public func l2NormalizeGradient(_ g: Tensor, x: Tensor, epsilon: Float) throws -> Tensor {
    try pairwise(RowGradient<L2Normalize>(g.shape, [x.shape], flopsPerElement: 7), g, x) {
      rk_l2_normalize_gradient($0, $1, $2, $3, epsilon)
    }
  }

  public func siluMulGradient(_ g: Tensor, gate: Tensor, up: Tensor) throws -> (gate: Tensor, up: Tensor) {
    let operation = try RowGradient<SiLUMul>(g.shape, [gate.shape, up.shape], flopsPerElement: 10)
    let (gateGradient, upGradient) = (
      try allocate(operation.outputShape, .f32), try allocate(operation.outputShape, .f32)
    )
    let (source, a, b) = (try floats(g), try floats(gate), try floats(up))
    let (gateTarget, upTarget) = (try floats(gateGradient), try floats(upGradient))
    measured(operation) {
      forRows(g) { row in
        rk_silu_mul_gradient(
          source + row * g.rowStride, a + row * gate.rowStride, b + row * up.rowStride,
          gateTarget + row * g.width, upTarget + row * g.width, Int32(g.width))
      }
    }
    return (gateGradient, upGradient)
  }

  public func layerNormGradient(
    _ g: Tensor, x: Tensor, weight: Tensor, epsilon: Float, weightSum: Tensor, biasSum: Tensor
  ) throws -> Tensor {
    let vectors = [weight.shape, weightSum.shape, biasSum.shape]
    let operation = try RowGradient<LayerNorm>(g.shape, [x.shape], vectors: vectors, flopsPerElement: 16)
    let y = try allocate(operation.outputShape, .f32)
    let (source, input, w, target) = (try floats(g), try floats(x), try floats(weight), try floats(y))
    let width = g.width
    try measured(operation) {
      try summing(rows: g.rows, into: [floats(weightSum), floats(biasSum)], width: width) { row, sums in
        rk_layer_norm_gradient(
          source + row * g.rowStride, input + row * x.rowStride, w, target + row * width, sums, sums + width,
          Int32(width), epsilon)
      }
    }
    return y
  }

  public func rmsNormGradient(
    _ g: Tensor, x: Tensor, weight: Tensor, epsilon: Float, weightSum: Tensor
  ) throws -> Tensor {
    let vectors = [weight.shape, weightSum.shape]
    let operation = try RowGradient<RMSNorm>(g.shape, [x.shape], vectors: vectors, flopsPerElement: 10)
    let y = try allocate(operation.outputShape, .f32)
    let (source, input, w, target) = (try floats(g), try floats(x), try floats(weight), try floats(y))
    let width = g.width
    try measured(operation) {
      try summing(rows: g.rows, into: [floats(weightSum)], width: width) { row, sums in
        rk_rms_norm_gradient(
          source + row * g.rowStride, input + row * x.rowStride, w, target + row * width, sums, Int32(width),
          epsilon)
      }
    }
    return y
  }

  public func addColumnSums(_ x: Tensor, to sum: Tensor) throws {
    let operation = try ColumnSums(x.shape, to: sum.shape)
    let source = try floats(x)
    try measured(operation) {
      try summing(rows: x.rows, into: [floats(sum)], width: x.width) { row, sums in
        rk_add_scaled(source + row * x.rowStride, 1, sums, Int32(x.width))
      }
    }
  }

  public func meanPoolGradient(_ g: Tensor, _ batch: any PreparedPackedBatch) throws -> Tensor {
    let packed = batch.packed
    let operation = try MeanPoolGradient(g.shape, batch: packed)
    let y = try allocate(operation.outputShape, .f32)
    let (source, target) = (try floats(g), try floats(y))
    measured(operation) {
      pool.forRanges(packed.sequences) { range in
        for sequence in range {
          let rows = packed.rows(of: sequence)
          for row in rows {
            rk_scale(
              source + sequence * g.rowStride, 1 / Float(rows.count), target + row * g.width, Int32(g.width))
          }
        }
      }
    }
    return y
  }

  public func scatterAddRows(_ g: Tensor, _ indices: [Int32], to sum: Tensor) throws {
    let operation = try ScatterAddRows(g.shape, indices: indices, to: sum.shape)
    let (source, target) = (try floats(g), try floats(sum))
    measured(operation) {
      // Columns are shared out, so that rows are added in their order.
      let share = max(64, (g.width / pool.threads + 15) / 16 * 16)
      pool.run((g.width + share - 1) / share) { task, _ in
        let column = task * share
        let count = Int32(min(share, g.width - column))
        for (row, index) in indices.enumerated() {
          rk_add_scaled(
            source + row * g.rowStride + column, 1, target + Int(index) * sum.rowStride + column, count)
        }
      }
    }
  }

  /// Runs `body` on every row of `x`.
  func forRows(_ x: Tensor, _ body: (Int) -> Void) {
    pool.forRanges(x.rows, minimum: Self.smallestShare / max(1, x.width) + 1) { range in
      for row in range { body(row) }
    }
  }

  /// Rows whose sums are taken together, whatever the number of threads.
  private static let summedRows = 64

  /// Runs `body` on every row with room for its share of sums (`sums.count · width`, one after the other), and adds
  /// the shares to `sums` in their order.
  func summing(
    rows: Int, into sums: [UnsafeMutablePointer<Float>], width: Int,
    _ body: (_ row: Int, _ share: UnsafeMutablePointer<Float>) -> Void
  ) throws {
    let shares = (rows + Self.summedRows - 1) / Self.summedRows
    let floats = sums.count * width
    let memory = try scratch(shares * floats * 4).assumingMemoryBound(to: Float.self)
    pool.run(shares) { share, _ in
      let room = memory + share * floats
      room.update(repeating: 0, count: floats)
      for row in share * Self.summedRows..<min(rows, (share + 1) * Self.summedRows) { body(row, room) }
    }
    for share in 0..<shares {
      for (index, sum) in sums.enumerated() {
        rk_add_scaled(memory + share * floats + index * width, 1, sum, Int32(width))
      }
    }
  }
}
