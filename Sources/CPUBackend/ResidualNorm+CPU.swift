import Basics
import CKernels
import Tensors

/// What ends the halves of a layer in training, in one pass over memory each way.
extension CPUBackend {
  public func residualNorm(
    _ x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, _ draws: DropoutDraws
  ) throws -> (sum: Tensor, y: Tensor) {
    let operation = try ResidualNorm(
      x.shape, residual: residual.shape, weight: weight.shape, bias: bias.shape, rate: draws.rate)
    let (sum, y) = (try allocate(operation.outputShape, .f32), try allocate(operation.outputShape, .f32))
    let (source, other, w, b) = (try floats(x), try floats(residual), try floats(weight), try floats(bias))
    let (added, target) = (try floats(sum), try floats(y))
    let width = x.width
    measured(operation) {
      forRows(x) { row in
        var drawn = draws.kernel(row: row, width: width)
        rk_dropout_add_norm(
          source + row * x.rowStride, other + row * residual.rowStride, w, b, added + row * width,
          target + row * width, Int32(width), epsilon, &drawn)
      }
    }
    return (sum, y)
  }

  public func residualNormGradient(
    _ g: Tensor, sum: Tensor, weight: Tensor, epsilon: Float, _ draws: DropoutDraws, weightSum: Tensor,
    biasSum: Tensor, columnSum: Tensor
  ) throws -> (residual: Tensor, x: Tensor) {
    let vectors = [weight.shape, weightSum.shape, biasSum.shape, columnSum.shape]
    let operation = try RowGradient<ResidualNorm>(
      g.shape, [sum.shape], vectors: vectors, flopsPerElement: 25)
    let (residual, x) = (try allocate(g.shape, .f32), try allocate(g.shape, .f32))
    let (source, input, w) = (try floats(g), try floats(sum), try floats(weight))
    let (all, kept) = (try floats(residual), try floats(x))
    let width = g.width
    try measured(operation) {
      let into = try [floats(weightSum), floats(biasSum), floats(columnSum)]
      try summing(rows: g.rows, into: into, width: width) { row, sums in
        var drawn = draws.kernel(row: row, width: width)
        rk_dropout_add_norm_gradient(
          source + row * g.rowStride, input + row * sum.rowStride, w, all + row * width, kept + row * width,
          sums, sums + width, sums + 2 * width, Int32(width), epsilon, &drawn)
      }
    }
    return (residual, x)
  }

  public func geluGradient(_ g: Tensor, x: Tensor, _ form: GELU.Form, columnSum: Tensor) throws -> Tensor {
    let operation = try RowGradient<GELU>(
      g.shape, [x.shape], vectors: [columnSum.shape], flopsPerElement: 13)
    let y = try allocate(g.shape, .f32)
    let (source, input, target) = (try floats(g), try floats(x), try floats(y))
    let width = g.width
    try measured(operation) {
      try summing(rows: g.rows, into: [floats(columnSum)], width: width) { row, sums in
        let (from, value, to) = (source + row * g.rowStride, input + row * x.rowStride, target + row * width)
        switch form {
        case .exact: rk_gelu_erf_gradient(from, value, to, Int32(width))
        case .tanh: rk_gelu_tanh_gradient(from, value, to, Int32(width))
        }
        rk_add_scaled(to, 1, sums, Int32(width))
      }
    }
    return y
  }
}

extension DropoutDraws {
  /// The draws of a row.
  func kernel(row: Int, width: Int) -> rk_dropout_draws {
    let group = Dropout.groupElements
    return rk_dropout_draws(
      key: key, stream: stream, first: UInt64(row) * UInt64((width + group - 1) / group * group),
      threshold: rate > 0 ? Dropout.threshold(rate) : 0, scale: 1 / (1 - rate))
  }
}
