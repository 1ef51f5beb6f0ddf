import Basics
import Kernels
import OpenCLRuntime
import Tensors

/// Training's products with both operands packed, for the CPU family.
extension OpenCLBackend {
  func multiplyPanels(
    _ operation: Product, _ operand: [KernelArgument], _ columns: [KernelArgument], _ result: [KernelArgument]
  ) throws {
    let tile = registerTile
    let tiles = tile.tiles(operation.m)
    let panels = (operation.n + tile.columns - 1) / tile.columns
    let chunks = (operation.k + tile.productChunk - 1) / tile.productChunk
    let packed = try context.makeBuffer(byteCount: tiles * tile.rows * operation.k * 4)
    let right = try context.makeBuffer(byteCount: panels * tile.columns * operation.k * 4)
    func kernel(_ name: StaticString) throws -> OpenCLKernel {
      try library.kernel(.productPanels, name, tile.options)
    }
    try launchItems(
      try kernel("product_pack_left"),
      operand + [
        .buffer("packed", packed), .uint("m", UInt32(operation.m)), .uint("K", UInt32(operation.k)),
      ], (tiles + tile.packedTiles - 1) / tile.packedTiles, chunks)
    try launchItems(
      try kernel("product_pack_right"),
      columns + [
        .buffer("panels", right), .uint("n", UInt32(operation.n)), .uint("K", UInt32(operation.k)),
      ], panels, chunks)
    let blockPanels = tuned.productPanels
    let groups = (panels + blockPanels - 1) / blockPanels
    // Few panels leave cores idle unless the rows are shared out too.
    let wanted = max(1, 4 * device.computeUnits / groups)
    let blockTiles = max(1, min(tuned.productTiles, (tiles + wanted - 1) / wanted))
    try launchItems(
      try kernel("product_tiles"),
      [.buffer("packed", packed), .buffer("panels", right)] + result,
      groups, (tiles + blockTiles - 1) / blockTiles)
  }
}
