import Basics
import OpenCLRuntime
import Tensors

/// How stored rows come to the device: the one door for files and for drawn weights.
extension OpenCLBackend {
  /// Puts the stored rows `range` into the buffer, from byte `offset` on.
  func deliver(_ source: CheckedSource, rows range: Range<Int>, to buffer: OpenCLBuffer, at offset: Int = 0)
    throws
  {
    guard let random = source.source.random else {
      return try context.write(source.bytes(rows: range), to: buffer, at: offset)
    }
    let dtype = source.source.dtype
    try draw(
      random, dtype, source.format, first: range.lowerBound * source.width, count: range.count * source.width,
      into: buffer, at: offset)
  }

  /// Brings the stored rows `range` to the device in pieces, each a multiple of `step` rows but the last, and gives
  /// `body` each piece with its buffer: what is repacked never lies on the device twice as a whole.
  func forStagedRows(
    _ source: CheckedSource, _ range: Range<Int>, step: Int, _ body: (OpenCLBuffer, Range<Int>) throws -> Void
  ) throws {
    let count = max(Self.stagingBytes / source.rowBytes / step, 1) * step
    for first in stride(from: range.lowerBound, to: range.upperBound, by: count) {
      let piece = first..<min(first + count, range.upperBound)
      let staging = try context.makeBuffer(byteCount: piece.count * source.rowBytes)
      try deliver(source, rows: piece, to: staging)
      try body(staging, piece)
    }
  }

  /// Draws `count` elements of a tensor from its element `first` on; both are whole blocks.
  private func draw(
    _ random: RandomWeights, _ dtype: DType, _ format: WeightFormat, first: Int, count: Int,
    into buffer: OpenCLBuffer, at offset: Int
  ) throws {
    let name: StaticString = format.isQuantized ? "random_blocks" : "random_elements"
    let kernel = try library.kernel(.randomWeights, name, format.options)
    let whole = family == .cpu ? 1 : 256
    if format.isQuantized {
      let blocks = count / dtype.blockSize
      let (place, values) = random.header(dtype)
      try launchItems(
        kernel,
        [
          .buffer("out", buffer), .ulong("offset", UInt64(offset)),
          .ulong("first_block", UInt64(first / dtype.blockSize)), .ulong("count", UInt64(blocks)),
          .ulong("seed", random.seed), .uint("block_bytes", UInt32(dtype.blockBytes)),
          .uint("header_offset", UInt32(place)), .uint("header_count", UInt32(values.count)),
          .uint("d", UInt32(values[0])), .uint("m", UInt32(values.last ?? 0)),
        ], (blocks + whole - 1) / whole * whole)
    } else {
      let quads = (first + count - 1) / 4 - first / 4 + 1
      try launchItems(
        kernel,
        [
          .buffer("out", buffer), .ulong("offset", UInt64(offset)), .ulong("first", UInt64(first)),
          .ulong("count", UInt64(count)), .ulong("seed", random.seed), .float("step", random.step),
          .float("mean", random.mean),
        ], (quads + whole - 1) / whole * whole)
    }
  }
}
