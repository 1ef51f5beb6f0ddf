import Basics
import Kernels
import OpenCLRuntime
import Tensors

/// Products with panels, for the CPU family.
extension OpenCLBackend {
  private func panelKernel(_ name: StaticString, _ format: WeightFormat) throws -> OpenCLKernel {
    try library.kernel(
      .matmulPanels, name,
      tuned.panelOptions[format.rawValue])
  }

  /// The rows of `input` in the order of tiles.
  func packRows(_ input: FloatView, rows: Int, width: Int) throws -> OpenCLBuffer {
    let tile = registerTile
    let tiles = tile.tiles(rows)
    let packed = try context.makeBuffer(byteCount: tiles * tile.rows * width * 4)
    try launchItems(
      try panelKernel("pack_rows", .f32),
      [
        .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
        .buffer("packed", packed), .uint("rows", UInt32(rows)), .uint("K", UInt32(width)),
      ], (width + tile.chunk - 1) / tile.chunk, tiles)
    return packed
  }

  /// One row: every weight is read once, and multiplied as it is unpacked.
  func multiplyRow(_ input: FloatView, _ segment: MatrixSegment, _ common: [KernelArgument]) throws {
    let arguments: [KernelArgument] = [
      .buffer("x", input.buffer), .uint("x_offset", input.offset), .buffer("panels", segment.buffer),
    ]
    try launchItems(
      try panelKernel("matmul_row", segment.format), arguments, and: common, (segment.columns + 31) / 32)
  }

  /// Tiles of rows that an item takes of all `tiles`.
  func tileBlock(_ tiles: Int, rows: Int, _ segment: MatrixSegment) -> Int {
    let tuned = tuned.matmulTile(rows: rows, segment.format)
    // Few panels leave cores idle unless the rows are shared out too.
    let wanted = max(1, tuned.tasksPerUnit * device.computeUnits / ((segment.columns + 31) / 32))
    return max(1, min(tuned.tiles, (tiles + wanted - 1) / wanted))
  }

  func multiplyTiles(
    _ packed: OpenCLBuffer, _ segment: MatrixSegment, rows: Int, _ common: [KernelArgument]
  ) throws {
    let panels = (segment.columns + 31) / 32
    let tiles = registerTile.tiles(rows)
    let blockTiles = tileBlock(tiles, rows: rows, segment)
    let arguments: [KernelArgument] = [
      .buffer("packed", packed), .buffer("panels", segment.buffer),
    ]
    try launchItems(
      try panelKernel("matmul_tile", segment.format), arguments, and: common, panels,
      (tiles + blockTiles - 1) / blockTiles)
  }
}
