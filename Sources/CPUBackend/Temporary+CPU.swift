import Basics
import Tensors

extension CPUBackend {
  public func product(
    _ a: Tensor, transposeA: Bool, _ b: Tensor, transposeB: Bool, bias: Tensor?, addTo sum: Tensor?,
    precision: DType
  ) throws -> Tensor {
    let (m, k) = transposeA ? (a.width, a.rows) : (a.rows, a.width)
    let n = transposeB ? b.rows : b.width
    let y = try sum ?? allocate([m, n], .f32)
    let (p, q, r, w) = (try floats(a), try floats(b), try floats(y), try bias.map(floats))
    for i in 0..<m {
      for j in 0..<n {
        var s: Float = 0
        for l in 0..<k {
          s +=
            p[transposeA ? l * a.rowStride + i : i * a.rowStride + l]
            * q[transposeB ? j * b.rowStride + l : l * b.rowStride + j]
        }
        r[i * y.rowStride + j] = s + (w?[j] ?? 0) + (sum == nil ? 0 : r[i * y.rowStride + j])
      }
    }
    return y
  }
}
