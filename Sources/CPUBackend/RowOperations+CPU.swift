import Basics
import CKernels
import Tensors

/// Operations that treat every row by itself.
extension CPUBackend {
  public func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float) throws -> Tensor {
    let operation = try RMSNorm(x: x.shape, weight: weight.shape, epsilon: epsilon)
    let w = try floats(weight)
    return try rowwise(operation, x) { source, target in
      rk_rms_norm(source, w, target, Int32(operation.width), epsilon)
    }
  }

  public func addRMSNorm(_ a: Tensor, _ b: Tensor, weight: Tensor, epsilon: Float) throws -> (
    sum: Tensor, normed: Tensor
  ) {
    let operation = try AddRMSNorm(a.shape, b.shape, weight: weight.shape)
    let width = Int32(operation.width)
    let (sum, y) = (try allocate(a.shape, .f32), try allocate(a.shape, .f32))
    let (left, right, w) = (try floats(a), try floats(b), try floats(weight))
    let (sums, target) = (try floats(sum), try floats(y))
    measured(operation) {
      forRows(y) { row in
        let place = sums + row * operation.width
        rk_add(left + row * a.rowStride, right + row * b.rowStride, place, width)
        rk_rms_norm(place, w, target + row * operation.width, width, epsilon)
      }
    }
    return (sum, y)
  }

  public func layerNorm(_ x: Tensor, weight: Tensor, bias: Tensor, epsilon: Float) throws -> Tensor {
    let operation = try LayerNorm(x: x.shape, weight: weight.shape, bias: bias.shape, epsilon: epsilon)
    let (w, b) = (try floats(weight), try floats(bias))
    return try rowwise(operation, x) { source, target in
      rk_layer_norm(source, w, b, target, Int32(operation.width), epsilon)
    }
  }

  public func gelu(_ x: Tensor, _ form: GELU.Form) throws -> Tensor {
    let width = Int32(x.width)
    return try rowwise(GELU(x.shape), x) { source, target in
      switch form {
      case .exact: rk_gelu_erf(source, target, width)
      case .tanh: rk_gelu_tanh(source, target, width)
      }
    }
  }

  public func tanh(_ x: Tensor) throws -> Tensor {
    let width = Int32(x.width)
    return try rowwise(Tanh(x.shape), x) { source, target in rk_tanh(source, target, width) }
  }

  public func softmax(_ x: Tensor) throws -> Tensor {
    let width = Int32(x.width)
    return try rowwise(Softmax(x.shape), x) { source, target in rk_softmax(source, target, width) }
  }

  public func l2Normalize(_ x: Tensor, epsilon: Float) throws -> Tensor {
    let width = Int32(x.width)
    return try rowwise(L2Normalize(x.shape), x) { rk_l2_normalize($0, $1, width, epsilon) }
  }

  public func siluMul(gate: Tensor, up: Tensor) throws -> Tensor {
    try pairwise(SiLUMul(gate: gate.shape, up: up.shape), gate, up) { rk_silu_mul($0, $1, $2, $3) }
  }

  public func add(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    try pairwise(Add(a.shape, b.shape), a, b) { rk_add($0, $1, $2, $3) }
  }

  public func gatherRows(_ x: Tensor, _ indices: [Int32]) throws -> Tensor {
    let operation = try GatherRows(x.shape, indices: indices)
    let y = try allocate(operation.outputShape, .f32)
    let (source, target) = (try floats(x), try floats(y))
    measured(operation) {
      forRows(y) { row in
        (target + row * y.width).update(from: source + Int(indices[row]) * x.rowStride, count: x.width)
      }
    }
    return y
  }

  /// Rows with fewer elements than this in all are not worth waking a thread for.
  static let smallestShare = 4096

  func rowwise(
    _ operation: some Tensors.Operation, _ x: Tensor,
    _ body: (_ source: UnsafePointer<Float>, _ target: UnsafeMutablePointer<Float>) -> Void
  ) throws -> Tensor {
    let y = try allocate(operation.outputShape, .f32)
    let (source, target) = (try floats(x), try floats(y))
    measured(operation) {
      pool.forRanges(x.rows, minimum: Self.smallestShare / max(1, x.width) + 1) { range in
        for row in range { body(source + row * x.rowStride, target + row * y.rowStride) }
      }
    }
    return y
  }

  func pairwise(
    _ operation: some Tensors.Operation, _ a: Tensor, _ b: Tensor,
    _ body: (UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int32) -> Void
  ) throws -> Tensor {
    let second = try floats(b)
    let first = try floats(a)
    return try rowwise(operation, a) { source, target in
      let row = (source - UnsafePointer(first)) / max(1, a.rowStride)
      body(source, second + row * b.rowStride, target, Int32(a.width))
    }
  }
}
