import Basics
import CKernels
import Tensors

/// A quantised matrix packed into panels of 16 output rows, at the file's precision.
final class LeanMatrix: Sendable {
  let type: rk_type
  let inputWidth: Int
  let outputWidth: Int
  let panels: OwnedMemory
  let panelCount: Int
  let panelBytes: Int

  /// Packs the rows on the pool, then lets the file's pages go.
  init(_ checked: CheckedSource, pool: ThreadPool) throws {
    type = checked.type
    inputWidth = checked.width
    outputWidth = checked.rows
    panelCount = (checked.rows + 15) / 16
    panelBytes = rk_lean_panel_bytes(checked.type, Int32(checked.width))
    panels = try OwnedMemory(byteCount: panelCount * panelBytes)
    pool.forRanges(panelCount) { range in
      for panel in range {
        rk_lean_pack(
          type, checked.row(panel * 16), checked.rowBytes, Int32(min(16, outputWidth - panel * 16)),
          Int32(inputWidth), panels.base.assumingMemoryBound(to: UInt8.self) + panel * panelBytes)
      }
    }
    checked.source.release()
  }

  /// Whether the activations come at 15 bits, as two rows of int8 whose products are added.
  ///
  /// Products with fewer outputs than inputs (keys and values, an MLP's way down) suffer most from 8 bits: on
  /// SmolLM2-135M they cost 0.6 % of perplexity, all others together about 0.2 %.
  var isPaired: Bool { outputWidth < inputWidth }

  /// The panels of each task: enough tasks to balance the threads, each at least 64 KiB of weights.
  func tasks(threads: Int) -> [Range<Int>] {
    let smallest = max(1, 65536 / max(panelBytes, 1))
    let share = max(smallest, panelCount / (threads * 8))
    let balanced = min(share, max(1, (panelCount + threads - 1) / threads))
    return stride(from: 0, to: panelCount, by: balanced).map { $0..<min(panelCount, $0 + balanced) }
  }
}
