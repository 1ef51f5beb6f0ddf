import Basics
import Foundation
import OpenCLRuntime
import Tensors

/// Cosines and sines of every pair at positions `0 ..< positions`: `[positions, pairs, 2]`.
struct RotationTable: Sendable {
  let positions: Int
  let buffer: OpenCLBuffer
}

extension OpenCLBackend {
  public func rope(_ x: Tensor, _ spec: RoPE, _ batch: any PreparedBatch) throws -> Tensor {
    let operation = try RotaryEmbedding(x: x.shape, spec: spec, batchRows: batch.metadata.rows)
    guard let batch = batch as? OpenCLBatch else { throw foreign("batch") }
    return try rotate(
      x, spec, operation, positions: batch.positions, last: batch.metadata.lastPosition)
  }

  public func rope(_ x: Tensor, _ spec: RoPE, inverse: Bool, _ batch: any PreparedPackedBatch) throws
    -> Tensor
  {
    let operation = try RotaryEmbedding(x: x.shape, spec: spec, batchRows: batch.packed.rows)
    guard let batch = batch as? OpenCLPackedBatch else { throw foreign("batch") }
    return try rotate(
      x, spec, operation, positions: batch.positions, last: batch.packed.longest, inverse: inverse)
  }

  private func rotate(
    _ x: Tensor, _ spec: RoPE, _ operation: RotaryEmbedding, positions: OpenCLBuffer, last: Int,
    inverse: Bool = false
  ) throws -> Tensor {
    let input = try FloatView(x)
    let y = try allocate(operation.outputShape, .f32)
    guard operation.rows > 0, operation.width > 0 else { return y }
    let table = try rotationTable(spec, positions: last + 1)
    let heads = operation.width / spec.headDim
    let options: KernelOptions = spec.pairing == .neighbours ? "-DNEIGHBOURS=1 " : ""
    // An item takes a row on CPU devices, a pair or an element that is not rotated on others.
    let items = family == .cpu ? 1 : heads * (spec.headDim - spec.rotaryDim / 2)
    try launchColumns(
      try rowKernel(.rope, "rope", width: 1, options),
      [
        .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
        .buffer("positions", positions), .buffer("rotations", table.buffer),
        .buffer("y", try FloatView(y).buffer), .uint("heads", UInt32(heads)),
        .uint("head_dim", UInt32(spec.headDim)), .uint("rotary_dim", UInt32(spec.rotaryDim)),
        .float("direction", inverse ? -1 : 1),
      ], items, operation.rows)
    try record(operation)
    return y
  }

  /// A table that covers `positions`, grown by doubling.
  private func rotationTable(_ spec: RoPE, positions: Int) throws -> RotationTable {
    try rotations.withLock { known in
      if let table = known[spec], table.positions >= positions { return table }
      var capacity = 512
      while capacity < positions { capacity *= 2 }
      let frequencies = spec.frequencies
      var values: [Float] = []
      values.reserveCapacity(capacity * frequencies.count * 2)
      for position in 0..<capacity {
        for frequency in frequencies {
          let angle = Double(position) * frequency
          values.append(Float(cos(angle)))
          values.append(Float(sin(angle)))
        }
      }
      let table = RotationTable(positions: capacity, buffer: try makeBuffer(values))
      known[spec] = table
      return table
    }
  }
}
