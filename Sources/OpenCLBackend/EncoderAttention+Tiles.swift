import Basics
import Kernels
import OpenCLRuntime
import Tensors

/// How the kernels of encoder_attention_tiles.opencl divide a packed batch.
struct AttentionTiles {
  static let queryRows = 12
  static let blockRows = 32

  /// `[tileCount, 4]`: first row, the sequence's first row and its end, and the sequence's first block.
  let tiles: OpenCLBuffer
  let tileCount: Int
  /// `[blockCount, 2]`: first row, and the sequence's end.
  let blocks: OpenCLBuffer
  let blockCount: Int
  /// `[sequences, 3]`: first row, end, and first block.
  let sequences: OpenCLBuffer

  init(_ packed: PackedBatch, _ backend: OpenCLBackend) throws {
    var (tiles, blocks, sequences): ([Int32], [Int32], [Int32]) = ([], [], [])
    for sequence in 0..<packed.sequences {
      let (start, end) = (packed.starts[sequence], packed.starts[sequence + 1])
      let firstBlock = Int32(blocks.count / 2)
      sequences += [start, end, firstBlock]
      for row in stride(from: start, to: end, by: Self.queryRows) { tiles += [row, start, end, firstBlock] }
      for row in stride(from: start, to: end, by: Self.blockRows) { blocks += [row, end] }
    }
    (tileCount, blockCount) = (tiles.count / 4, blocks.count / 2)
    self.tiles = try backend.makeBuffer(tiles)
    self.blocks = try backend.makeBuffer(blocks)
    self.sequences = try backend.makeBuffer(sequences)
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

  /// Rows of keys or values turned, so that a vector holds several.
  private func turned(_ x: FloatView, headDim: Int, kvHeads: Int, _ tiles: AttentionTiles) throws
    -> OpenCLBuffer
  {
    let packed = try context.makeBuffer(
      byteCount: tiles.blockCount * AttentionTiles.blockRows * kvHeads * headDim * 4)
    try launchItems(
      try tilesKernel("encoder_attention_turn", headDim: headDim),
      [
        .buffer("x", x.buffer), .uint("x_offset", x.offset), .uint("x_stride", x.stride),
        .buffer("blocks", tiles.blocks), .buffer("packed", packed),
      ], kvHeads, tiles.blockCount)
    return packed
  }

  func attendInTiles(
    _ operation: EncoderAttention, _ q: FloatView, _ k: FloatView, _ v: FloatView, scale: Float, causal: Bool,
    _ batch: OpenCLPackedBatch, _ y: Tensor, _ sums: Tensor?
  ) throws {
    guard operation.rows > 0 else { return }
    let tiles = try batch.attentionTiles(self)
    let packed = try turned(k, headDim: operation.headDim, kvHeads: operation.kvHeads, tiles)
    let output = try FloatView(y).buffer
    try launchItems(
      try tilesKernel("encoder_attention_tiles", headDim: operation.headDim),
      [
        .buffer("q", q.buffer), .uint("q_offset", q.offset), .uint("q_stride", q.stride),
        .buffer("packed", packed), .buffer("v", v.buffer), .uint("v_offset", v.offset),
        .uint("v_stride", v.stride), .buffer("tiles", tiles.tiles), .buffer("y", output),
        // A buffer must be passed where no sums are wanted too; the kernel does not write it.
        .buffer("log_sum_exp", try sums.map { try FloatView($0).buffer } ?? output),
        .int("wants_sums", sums == nil ? 0 : 1), .int("causal", causal ? 1 : 0),
        .uint("heads", UInt32(operation.heads)), .uint("shared", UInt32(operation.heads / operation.kvHeads)),
        .float("scale", scale),
      ], operation.heads, tiles.tileCount)
  }

  /// The gradients of queries, keys and values side by side in `joint`; an item takes a sequence and a key head.
  func attentionGradientInTiles(
    _ forward: EncoderAttention, _ operands: AttentionGradientOperands, scale: Float, causal: Bool,
    _ batch: OpenCLPackedBatch, _ joint: Tensor
  ) throws {
    let tiles = try batch.attentionTiles(self)
    let (q, k, gradient) = (operands.query, operands.key, operands.gradient)
    let (output, sums) = (operands.output, operands.sums)
    let (headDim, kvHeads) = (forward.headDim, forward.kvHeads)
    try launchItems(
      try tilesKernel("encoder_attention_tiles_gradient", headDim: headDim),
      [
        .buffer("q", q.buffer), .uint("q_offset", q.offset), .uint("q_stride", q.stride),
        .buffer("k", k.buffer), .uint("k_offset", k.offset), .uint("k_stride", k.stride),
        .buffer("packed_k", try turned(k, headDim: headDim, kvHeads: kvHeads, tiles)),
        .buffer("packed_v", try turned(operands.value, headDim: headDim, kvHeads: kvHeads, tiles)),
        .buffer("gradient", gradient.buffer), .uint("gradient_offset", gradient.offset),
        .uint("gradient_stride", gradient.stride), .buffer("output", output.buffer),
        .uint("output_offset", output.offset), .uint("output_stride", output.stride),
        .buffer("sums", sums.buffer), .uint("sums_offset", sums.offset), .uint("sums_stride", sums.stride),
        .buffer("sequences", tiles.sequences), .buffer("result", try FloatView(joint).buffer),
        .uint("heads", UInt32(forward.heads)), .uint("shared", UInt32(forward.heads / kvHeads)),
        .int("causal", causal ? 1 : 0), .float("scale", scale),
      ], kvHeads, batch.packed.sequences)
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
