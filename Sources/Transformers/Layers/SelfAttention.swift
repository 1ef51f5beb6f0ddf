import Basics
import Tensors

/// Causal grouped-query self-attention over the paged cache, with rotary positions.
public struct SelfAttention: Sendable {
  /// Query, key and value projections in one product.
  let queryKeyValue: Linear
  let output: Linear
  let heads: Int
  let kvHeads: Int
  let headDim: Int
  let rope: RoPE

  /// - Parameter outputRows: rows to return, packed; nil for all. Keys and values are written for every row.
  func callAsFunction(_ x: Tensor, layer: Int, _ step: ForwardStep, outputRows: [Int32]? = nil) throws
    -> Tensor
  {
    let backend = step.backend
    let queryWidth = heads * headDim
    let keyWidth = kvHeads * headDim
    let joint = try queryKeyValue(x, backend)
    // Queries and keys are heads side by side: one operation turns both.
    let rotated = try backend.rope(joint.columns(0..<queryWidth + keyWidth), rope, step.batch)
    let query = try rotated.columns(0..<queryWidth)
    let key = try rotated.columns(queryWidth..<queryWidth + keyWidth)
    let value = try joint.columns(queryWidth + keyWidth..<queryWidth + 2 * keyWidth)
    try backend.storeKV(key: key, value: value, layer: layer, cache: step.cache, step.batch)
    let attended = try backend.attention(
      query, heads: heads, scale: 1 / Float(headDim).squareRoot(), layer: layer, cache: step.cache, step.batch
    )
    let kept = try outputRows.map { try backend.gatherRows(attended, $0) } ?? attended
    return try output(kept, backend)
  }
}
