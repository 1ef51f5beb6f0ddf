import Basics
import CKernels
import Tensors

/// A matrix as Float32 rows `[out, in]`, for processors without AVX-512.
///
/// There oneDNN's Float32 product blocks and orders its sums by the number of rows, so a row's bits would depend on
/// its batch. The product of training adds an element's terms in the order of k whatever the extents.
final class RowMatrix: Sendable {
  let inputWidth: Int
  let outputWidth: Int
  let memory: OwnedMemory

  init(_ parts: [CheckedSource], pool: ThreadPool) throws {
    inputWidth = parts[0].width
    outputWidth = parts.reduce(0) { $0 + $1.rows }
    memory = try OwnedMemory(byteCount: outputWidth * inputWidth * 4)
    let values = memory.base.assumingMemoryBound(to: Float.self)
    let width = inputWidth
    var first = 0
    for part in parts {
      let target = values + first * width
      pool.forRanges(part.rows, minimum: 8) { range in
        for row in range { rk_dequantize(part.type, part.row(row), target + row * width, width) }
      }
      first += part.rows
      part.source.release()
    }
  }

  /// The work of `y = x Wᵀ + bias`, still to be planned.
  func product(
    rows: Int, _ x: UnsafeMutablePointer<Float>, stride: Int, bias: UnsafeMutablePointer<Float>?,
    _ y: UnsafeMutablePointer<Float>, targetStride: Int
  ) -> rk_product {
    var work = rk_product()
    (work.m, work.n, work.k) = (Int32(rows), Int32(outputWidth), Int32(inputWidth))
    work.a = UnsafePointer(x)
    work.b = UnsafePointer(memory.base.assumingMemoryBound(to: Float.self))
    work.bias = bias.map { UnsafePointer($0) }
    work.c = y
    (work.a_stride, work.b_stride, work.c_stride) = (stride, inputWidth, targetStride)
    work.b_transposed = 1
    return work
  }
}
