import Basics
import Tensors

/// `down(silu(gate(x)) · up(x))`.
public struct GatedMLP: Sendable {
  /// Gate and up projections in one product.
  let gateUp: Linear
  let down: Linear
  let intermediateSize: Int

  func callAsFunction(_ x: Tensor, _ backend: any Backend) throws -> Tensor {
    let joint = try gateUp(x, backend)
    let hidden = try backend.siluMul(
      gate: joint.columns(0..<intermediateSize), up: joint.columns(intermediateSize..<2 * intermediateSize))
    return try down(hidden, backend)
  }
}
