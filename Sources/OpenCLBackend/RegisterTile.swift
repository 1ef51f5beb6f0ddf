/// The shape of a tile of sums in registers, for the CPU family (register_tile.opencl).
struct RegisterTile {
  /// Floats of a vector.
  let lanes: Int
  let rows: Int
  let columns: Int
  let options: KernelOptions
  /// Consecutive k's of stored weights that are multiplied at a time; their order of sums.
  let chunk = 256
  /// Consecutive k's of training's products, whose sums it does not change: 32 KB of a panel.
  var productChunk: Int { 8192 / columns }
  /// Tiles that an item of product_pack_left packs: its PACKED_TILES.
  let packedTiles = 8

  /// - Parameter registerFloats: what the widest registers hold: 16 of them with 8, 32 with 16.
  init(registerFloats: Int) {
    lanes = registerFloats < 16 ? 8 : 16
    rows = registerFloats < 16 ? 6 : 12
    columns = 2 * lanes
    options = "-DLANES=\(lanes) "
  }

  /// Tiles of `count` rows.
  func tiles(_ count: Int) -> Int { (count + rows - 1) / rows }
}

extension OpenCLBackend {
  var registerTile: RegisterTile { tuned.registerTile }
}
