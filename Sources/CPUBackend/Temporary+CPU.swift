import Basics
import Tensors
import Foundation

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
  public func encoderAttentionGradient(
    _ g: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor, logSumExp: Tensor, heads: Int,
    scale: Float, causal: Bool, precision: DType, _ batch: any PreparedPackedBatch
  ) throws -> Tensor {
    let hd = query.width / heads
    let kw = key.width
    let y = try allocate([g.rows, query.width + 2 * kw], .f32)
    try zero(y)
    let (G, Q, K, V, O, L, Y) = (try floats(g), try floats(query), try floats(key), try floats(value), try floats(output), try floats(logSumExp), try floats(y))
    for s in 0..<batch.packed.sequences {
      let rows = batch.packed.rows(of: s)
      for h in 0..<heads { for i in rows {
        var D: Float = 0
        for c in 0..<hd { D += G[i * g.rowStride + h * hd + c] * O[i * output.rowStride + h * hd + c] }
        for j in rows {
          var a: Float = 0, dp: Float = 0
          for c in 0..<hd { a += Q[i * query.rowStride + h * hd + c] * K[j * key.rowStride + h * hd + c]
            dp += G[i * g.rowStride + h * hd + c] * V[j * value.rowStride + h * hd + c] }
          let p = Foundation.exp(a * scale - L[i * heads + h])
          let ds = p * (dp - D) * scale
          for c in 0..<hd {
            Y[i * y.width + h * hd + c] += ds * K[j * key.rowStride + h * hd + c]
            Y[j * y.width + query.width + h * hd + c] += ds * Q[i * query.rowStride + h * hd + c]
            Y[j * y.width + query.width + kw + h * hd + c] += p * G[i * g.rowStride + h * hd + c]
          }
        }
      } }
    }
    return y
  }


  public func tanh(_ x: Tensor) throws -> Tensor {
    try rowwise(Scale(x.shape), x) { a, b in for i in 0..<x.width { b[i] = Foundation.tanh(a[i]) } }
  }
}
