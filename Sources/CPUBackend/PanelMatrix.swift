import Basics
import CKernels
import Tensors

/// A matrix packed into panels of 16 output rows for int8 dot products: its codes as in the file, or int8.
final class PanelMatrix: Sendable {
  enum Codes: Sendable {
    /// The file's own blocks (`lean`).
    case stored(rk_type)
    /// Requantised at load (`int8`).
    case int8
  }

  let codes: Codes
  let inputWidth: Int
  let outputWidth: Int
  let panels: OwnedMemory
  let panelCount: Int
  let panelBytes: Int
  /// Whether the activations come at 15 bits, as two rows of int8 whose products are added.
  let isPaired: Bool

  var isInt8: Bool {
    if case .int8 = codes { return true }
    return false
  }

  /// Packs the rows on the pool, then lets the file's pages go.
  init(_ checked: CheckedSource, int8: Bool, pool: ThreadPool) throws {
    codes = int8 ? .int8 : .stored(checked.type)
    inputWidth = checked.width
    outputWidth = checked.rows
    // Queries are as many as inputs, so int8 leaves them at 8 bits: it is there for speed.
    isPaired = checked.source.needsFineActivations && (!int8 || checked.rows < checked.width)
    panelCount = (checked.rows + 15) / 16
    let width = checked.width
    panelBytes = int8 ? rk_int8_panel_bytes(Int32(width)) : rk_lean_panel_bytes(checked.type, Int32(width))
    panels = try OwnedMemory(byteCount: panelCount * panelBytes)
    let plain = try int8 ? OwnedMemory(byteCount: pool.threads * 16 * width * 4) : nil
    let base = panels.base.assumingMemoryBound(to: UInt8.self)
    pool.run(panelCount) { panel, thread in
      let rows = min(16, outputWidth - panel * 16)
      let target = base + panel * panelBytes
      guard let plain else {
        return rk_lean_pack(
          checked.type, checked.row(panel * 16), checked.rowBytes, Int32(rows), Int32(width), target)
      }
      let values = plain.base.assumingMemoryBound(to: Float.self) + thread * 16 * width
      rk_dequantize(checked.type, checked.row(panel * 16), values, rows * width)
      rk_int8_pack(values, width, Int32(rows), Int32(width), target)
    }
    checked.source.release()
  }

  /// Bytes of one row of quantised activations.
  var activationBytes: Int {
    switch codes {
    case .stored: inputWidth / 32 * MemoryLayout<rk_act_block>.stride
    case .int8: rk_int8_row_bytes(Int32(inputWidth))
    }
  }

  /// Quantises row `row` of `rows`.
  func quantize(
    _ x: UnsafePointer<Float>, row: Int, of rows: Int, _ target: UnsafeMutableRawPointer,
    rest: UnsafeMutableRawPointer?
  ) {
    let (width, row, rows) = (Int32(inputWidth), Int32(row), Int32(rows))
    switch codes {
    case .stored:
      rk_act_quantize(
        x, width, row, rows, target.assumingMemoryBound(to: rk_act_block.self),
        rest?.assumingMemoryBound(to: rk_act_block.self))
    case .int8:
      rk_int8_quantize(
        x, width, row, rows, target.assumingMemoryBound(to: UInt8.self),
        rest?.assumingMemoryBound(to: UInt8.self))
    }
  }

  /// Multiplies all rows of activations by a range of panels.
  func multiply(
    _ range: Range<Int>, _ activations: UnsafeRawPointer, rest: UnsafeRawPointer?, rows: Int,
    bias: UnsafePointer<Float>?, _ y: UnsafeMutablePointer<Float>, stride: Int
  ) {
    let (first, end) = (Int32(range.lowerBound), Int32(range.upperBound))
    let rest = isPaired ? rest : nil
    let base = panels.base.assumingMemoryBound(to: UInt8.self)
    switch codes {
    case .stored(let type):
      rk_lean_gemm(
        type, base, first, end, Int32(outputWidth), Int32(inputWidth),
        activations.assumingMemoryBound(to: rk_act_block.self),
        rest?.assumingMemoryBound(to: rk_act_block.self), Int32(rows), bias, y, stride)
    case .int8:
      rk_int8_gemm(
        base, first, end, Int32(outputWidth), Int32(inputWidth),
        activations.assumingMemoryBound(to: UInt8.self), rest?.assumingMemoryBound(to: UInt8.self),
        Int32(rows), bias, y, stride)
    }
  }

  /// The panels of each task: enough tasks to balance the threads, each at least 64 KiB of weights.
  ///
  /// One row waits for memory, which serves long runs best (two tasks a thread read 4 % faster than eight); many
  /// rows wait for arithmetic, and for the slowest thread.
  func tasks(perThread: Int, threads: Int) -> [Range<Int>] {
    PanelMatrix.tasks(panelCount, panelBytes, perThread: perThread, threads: threads)
  }

  static func tasks(_ panelCount: Int, _ panelBytes: Int, perThread: Int, threads: Int) -> [Range<Int>] {
    let smallest = max(1, 65536 / max(panelBytes, 1))
    // The int8 product takes panels two at a time.
    let share = (max(smallest, panelCount / (threads * perThread)) + 1) / 2 * 2
    let balanced = min(share, max(1, (panelCount + threads - 1) / threads))
    return stride(from: 0, to: panelCount, by: balanced).map { $0..<min(panelCount, $0 + balanced) }
  }
}
