import Basics
import OpenCLRuntime
import Tensors

/// Products with panels, for the CPU family.
extension OpenCLBackend {
  func packRows(_ input: FloatView, rows: Int, width: Int) throws -> OpenCLBuffer {
    let tiles = (rows + 11) / 12
    let packed = try context.makeBuffer(byteCount: tiles * 12 * width * 4)
    let kernel = try library.kernel(
      [.blockFormats, .lanes, .panelFormats, .matmulPanels], "pack_rows", WeightFormat.f32.options)
    try launchItems(
      kernel,
      [
        .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
        .buffer("packed", packed), .uint("rows", UInt32(rows)), .uint("K", UInt32(width)),
      ], tiles, (width + 63) / 64)
    return packed
  }

  func multiplyRows(
    _ input: FloatView, _ segment: MatrixSegment, rows: Int, _ common: [KernelArgument]
  )
    throws
  {
    let variant = rows == 1 ? 1 : rows <= 4 ? 4 : 8
    let kernel = try library.kernel(
      [.blockFormats, .lanes, .panelFormats, .matmulPanels], "matmul_rows",
      segment.format.options + "-DROWS=\(variant) ")
    let arguments: [KernelArgument] = [
      .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
      .buffer("panels", segment.buffer),
    ]
    try launchItems(kernel, arguments + common, (segment.columns + 31) / 32)
  }

  func multiplyTiles(
    _ packed: OpenCLBuffer, _ segment: MatrixSegment, rows: Int, _ common: [KernelArgument]
  ) throws {
    let kernel = try library.kernel(
      [.blockFormats, .lanes, .panelFormats, .matmulPanels], "matmul_tile", segment.format.options)
    let panels = (segment.columns + 31) / 32
    let tiles = (rows + 11) / 12
    // Few panels leave cores idle unless the rows are shared out too.
    let tuned = tuning[.matmulTile, MatMulClass.of(rows: rows, segment.format)]
    let wanted = max(1, tuned["tasks_per_unit"] * device.computeUnits / panels)
    let blockTiles = max(1, min(tuned["block_tiles"], (tiles + wanted - 1) / wanted))
    let arguments: [KernelArgument] = [.buffer("packed", packed), .buffer("panels", segment.buffer)]
    try launchItems(
      kernel, arguments + common + [.uint("block_tiles", UInt32(blockTiles))], panels,
      (tiles + blockTiles - 1) / blockTiles)
  }
}
