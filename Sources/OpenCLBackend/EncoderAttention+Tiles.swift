import Basics
import Kernels
import OpenCLRuntime
import Tensors

/// Parts of a packed batch's sequences, of which an item of encoder_attention_tiles takes one for a head.
struct AttentionParts {
  /// The kernel's QUERIES.
  static let mostRows = 132

  /// `[count, 4]`: first row and end of a part, first row of its sequence and its end. The lightest come first:
  /// runtimes for processors hand a thread many groups at once, the first ones up to half of all.
  let buffer: OpenCLBuffer
  let count: Int
  /// `[sequences, 2]`: first row of each sequence and its end, the shortest first.
  let sequences: OpenCLBuffer

  /// - Parameter rows: that a part may have.
  init(_ packed: PackedBatch, rows: Int, _ backend: OpenCLBackend) throws {
    var list: [(rows: Range<Int>, sequence: Range<Int>)] = []
    let tile = backend.registerTile
    let bounds = (0..<packed.sequences).map { packed.rows(of: $0) }
      .sorted { ($0.count, $0.lowerBound) < ($1.count, $1.lowerBound) }
    for sequence in bounds {
      let (start, end) = (sequence.lowerBound, sequence.upperBound)
      // A sequence's parts are as even as whole tiles allow.
      let parts = max(1, (end - start + rows - 1) / rows)
      let step = max(1, tile.tiles((end - start + parts - 1) / parts)) * tile.rows
      for row in stride(from: start, to: end, by: step) {
        list.append((row..<min(row + step, end), sequence))
      }
    }
    count = list.count
    let order = list.map { (work: $0.rows.count * $0.sequence.count, part: $0) }
      .sorted { ($0.work, $0.part.rows.lowerBound) < ($1.work, $1.part.rows.lowerBound) }
    buffer = try backend.makeBuffer(
      order.flatMap { _, part in
        [part.rows.lowerBound, part.rows.upperBound, part.sequence.lowerBound, part.sequence.upperBound]
          .map(Int32.init)
      })
    sequences = try backend.makeBuffer(bounds.flatMap { [Int32($0.lowerBound), Int32($0.upperBound)] })
  }

  /// Rows of a part: as many as there are, since every part copies its sequence's keys and values, but few enough
  /// that all of the device has work.
  static func rows(_ packed: PackedBatch, heads: Int, _ backend: OpenCLBackend) -> Int {
    let wanted = 4 * backend.device.computeUnits
    var rows = mostRows
    while rows > max(12, backend.registerTile.rows), heads * ((packed.rows + rows - 1) / rows) < wanted,
      heads * packed.sequences < wanted
    {
      rows = backend.registerTile.tiles(rows / 2) * backend.registerTile.rows
    }
    return rows
  }
}

/// Attention of packed batches in register tiles, for the CPU family.
extension OpenCLBackend {
  /// Whether heads of this size are whole tiles; others take the kernels of rows.
  func attendsInTiles(headDim: Int) -> Bool { family == .cpu && headDim % registerTile.columns == 0 }

  private func tilesKernel(_ name: StaticString, headDim: Int) throws -> OpenCLKernel {
    try library.kernel(
      .encoderAttentionTiles, name,
      "-DVEC=16 -DGROUP=1 -DDIM=\(headDim) " + registerTile.options)
  }

  func attendInTiles(
    _ operation: EncoderAttention, _ q: FloatView, _ k: FloatView, _ v: FloatView, scale: Float, causal: Bool,
    _ batch: OpenCLPackedBatch, _ y: Tensor, _ sums: Tensor?
  ) throws {
    guard operation.rows > 0 else { return }
    let parts = try batch.attentionParts(heads: operation.heads, self)
    let output = try FloatView(y).buffer
    try launchItems(
      try tilesKernel("encoder_attention_tiles", headDim: operation.headDim),
      [
        .buffer("q", q.buffer), .uint("q_offset", q.offset), .uint("q_stride", q.stride),
        .buffer("k", k.buffer), .uint("k_offset", k.offset), .uint("k_stride", k.stride),
        .buffer("v", v.buffer), .uint("v_offset", v.offset), .uint("v_stride", v.stride),
        .buffer("parts", parts.buffer), .buffer("y", output),
        // A buffer must be passed where no sums are wanted too; the kernel does not write it.
        .buffer("log_sum_exp", try sums.map { try FloatView($0).buffer } ?? output),
        .int("wants_sums", sums == nil ? 0 : 1), .int("causal", causal ? 1 : 0),
        .uint("heads", UInt32(operation.heads)), .uint("shared", UInt32(operation.heads / operation.kvHeads)),
        .float("scale", scale),
      ], operation.heads, parts.count)
  }

  /// The gradients of queries, keys and values side by side in `joint`; an item takes a sequence and a key head.
  func attentionGradientInTiles(
    _ forward: EncoderAttention, _ operands: AttentionGradientOperands, scale: Float, causal: Bool,
    _ batch: OpenCLPackedBatch, _ joint: Tensor
  ) throws {
    let (q, k, v, gradient) = (operands.query, operands.key, operands.value, operands.gradient)
    let (output, sums) = (operands.output, operands.sums)
    let parts = try batch.attentionParts(heads: forward.heads, self)
    try launchItems(
      try tilesKernel("encoder_attention_tiles_gradient", headDim: forward.headDim),
      [
        .buffer("q", q.buffer), .uint("q_offset", q.offset), .uint("q_stride", q.stride),
        .buffer("k", k.buffer), .uint("k_offset", k.offset), .uint("k_stride", k.stride),
        .buffer("v", v.buffer), .uint("v_offset", v.offset), .uint("v_stride", v.stride),
        .buffer("gradient", gradient.buffer), .uint("gradient_offset", gradient.offset),
        .uint("gradient_stride", gradient.stride), .buffer("output", output.buffer),
        .uint("output_offset", output.offset), .uint("output_stride", output.stride),
        .buffer("sums", sums.buffer), .uint("sums_offset", sums.offset), .uint("sums_stride", sums.stride),
        .buffer("sequences", parts.sequences), .buffer("result", try FloatView(joint).buffer),
        .uint("heads", UInt32(forward.heads)), .uint("shared", UInt32(forward.heads / forward.kvHeads)),
        .int("causal", causal ? 1 : 0), .float("scale", scale),
      ], forward.kvHeads, batch.packed.sequences)
  }
}

/// What the gradient of attention reads.
struct AttentionGradientOperands {
  let query: FloatView
  let key: FloatView
  let value: FloatView
  let gradient: FloatView
  let output: FloatView
  let sums: FloatView
}
