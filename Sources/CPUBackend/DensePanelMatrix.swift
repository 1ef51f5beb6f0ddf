import Basics
import CKernels
import Tensors

/// A matrix in panels of 16 output rows, in Float32 or bfloat16, for processors without AVX-512.
///
/// There oneDNN's Float32 product blocks and orders its sums by the number of rows, so a row's bits would depend on
/// its batch. This one adds an element's terms in the order of k whatever the extents.
final class DensePanelMatrix: Sendable {
  let inputWidth: Int
  let outputWidth: Int
  let narrow: Bool
  let panels: OwnedMemory
  private let fewRowsTasks: [Range<Int>]
  private let manyRowsTasks: [Range<Int>]

  /// Packs the rows on the pool; with `narrow` in bfloat16, where the width is even.
  init(_ parts: [CheckedSource], narrow: Bool, pool: ThreadPool) throws {
    let width = parts[0].width
    let outputWidth = parts.reduce(0) { $0 + $1.rows }
    let narrow = narrow && width.isMultiple(of: 2)
    let panelCount = (outputWidth + 15) / 16
    let panelBytes = rk_dense_panel_bytes(Int32(width), narrow ? 1 : 0)
    let panels = try OwnedMemory(byteCount: panelCount * panelBytes)
    let plain = try OwnedMemory(byteCount: pool.threads * 16 * width * 4)
    pool.run(panelCount) { panel, thread in
      let values = plain.base.assumingMemoryBound(to: Float.self) + thread * 16 * width
      let rows = min(16, outputWidth - panel * 16)
      for row in 0..<rows {
        let (part, index) = DensePanelMatrix.place(of: panel * 16 + row, in: parts)
        rk_dequantize(part.type, part.row(index), values + row * width, width)
      }
      rk_dense_pack(
        values, width, Int32(rows), Int32(width), narrow ? 1 : 0, panels.base + panel * panelBytes)
    }
    for part in parts { part.source.release() }
    (self.inputWidth, self.outputWidth, self.narrow, self.panels) = (width, outputWidth, narrow, panels)
    fewRowsTasks = PanelMatrix.tasks(panelCount, panelBytes, perThread: 2, threads: pool.threads)
    manyRowsTasks = PanelMatrix.tasks(panelCount, panelBytes, perThread: 8, threads: pool.threads)
  }

  /// The part that has a row of the matrix, and its number there.
  private static func place(of row: Int, in parts: [CheckedSource]) -> (CheckedSource, Int) {
    var index = row
    for part in parts.dropLast() {
      if index < part.rows { return (part, index) }
      index -= part.rows
    }
    return (parts[parts.count - 1], index)
  }

  /// `y = x Wᵀ + bias`.
  func multiply(
    rows: Int, _ x: UnsafeMutablePointer<Float>, stride: Int, bias: UnsafeMutablePointer<Float>?,
    _ y: UnsafeMutablePointer<Float>, targetStride: Int, pool: ThreadPool
  ) {
    let tasks = rows <= 4 ? fewRowsTasks : manyRowsTasks
    let base = panels.base.assumingMemoryBound(to: UInt8.self)
    var work = rk_dense_product()
    (work.n, work.k, work.rows) = (Int32(outputWidth), Int32(inputWidth), Int32(rows))
    (work.panels, work.narrow) = (UnsafePointer(base), narrow ? 1 : 0)
    (work.x, work.bias, work.y) = (UnsafePointer(x), bias.map { UnsafePointer($0) }, y)
    (work.x_stride, work.y_stride) = (stride, targetStride)
    withUnsafePointer(to: &work) { work in
      pool.run(tasks.count) { task, _ in
        rk_dense_gemm(work, Int32(tasks[task].lowerBound), Int32(tasks[task].upperBound))
      }
    }
  }
}
