import OpenCLRuntime

/// What of the tables of launch parameters operations read at every launch: looked up by name once.
struct TunedValues {
  /// How `matmul_tile` shares out its tiles.
  struct TileBlocks {
    let tiles: Int
    let tasksPerUnit: Int
  }

  /// How `matmul_columns` divides its columns.
  struct ColumnGroups {
    let columns: Int
    let chunks: Int
    let macros: KernelOptions
    /// By the weights' ``WeightFormat``.
    let options: [KernelOptions]
  }

  /// Of the kernels that use a warp's instructions.
  struct Warps {
    /// By ``MatMulWarpClass``.
    let matmulTiles: [MatMulWarpTiles]
    let matmulColumns: [MatMulWarpColumns]
    let matmulLargeFrom: Int
    /// By ``Int8WarpClass``.
    let int8Tiles: [Int8WarpTiles]
    let int8Columns: [Int8WarpColumns]
    /// By ``ProductWarpTiles/classes``.
    let productTiles: [ProductWarpTiles]
    let productLargeFrom: Int
    /// By the same classes, where `wgmma` multiplies.
    let productGroups: [ProductWarpgroupTiles]
    let productOnWarpgroups: Bool
    let attention: KernelParameters
    let attentionGroups: KernelParameters
    let encoder: EncoderWarpShapes

    init(_ tuning: Tuning) {
      matmulTiles = MatMulWarpClass.tiles.map { MatMulWarpTiles(tuning[.matmulWarp, $0]) }
      matmulColumns = MatMulWarpClass.rows.map { MatMulWarpColumns(tuning[.matmulWarpRows, $0]) }
      matmulLargeFrom = tuning[.matmulWarpChoice]["LARGE_FROM"]
      int8Tiles = Int8WarpClass.tiles.map { Int8WarpTiles(tuning[.int8Warp, $0]) }
      int8Columns = Int8WarpClass.rows.map { Int8WarpColumns(tuning[.int8WarpRows, $0]) }
      productTiles = ProductWarpTiles.classes.map { ProductWarpTiles(tuning[.productWarp, $0]) }
      productLargeFrom = tuning[.productWarpChoice]["LARGE_FROM"]
      productGroups = ProductWarpTiles.classes.map {
        ProductWarpgroupTiles(tuning[.productWarpgroup, $0])
      }
      productOnWarpgroups = tuning[.productWarpgroupChoice]["WGMMA"] == 1
      attention = tuning[.attentionWarp]
      attentionGroups = tuning[.attentionWarpGroups]
      encoder = EncoderWarpShapes(tuning)
    }
  }

  let rows: RowOptions
  let warps: Warps
  let registerTile: RegisterTile
  /// Of the kernels of matmul_panels.opencl, by the weights' ``WeightFormat``.
  let panelOptions: [KernelOptions]
  let matmulColumns: ColumnGroups
  /// Queries of an item of `attention` at most, CPU family.
  let attentionQueries: Int
  let attention: KernelParameters
  /// Items of a group of `encoder_attention`, GPU family.
  let encoderGroup: Int
  let productTiles: Int
  let productPanels: Int
  /// By ``MatMulClass``.
  private let matmulTiles: [TileBlocks]

  /// - Parameter tuning: has all of ``TunableKernel/all``.
  init(_ tuning: Tuning, _ family: KernelFamily, _ features: KernelFeatures) {
    rows = RowOptions(tuning, family, features)
    warps = Warps(tuning)
    registerTile = RegisterTile(registerFloats: features.registerFloats)
    let tile = registerTile
    panelOptions = WeightFormat.allCases.map { $0.options + tile.options }
    let columns = tuning[.matmulColumns]
    matmulColumns = ColumnGroups(
      columns: columns["COLUMNS"], chunks: columns["CHUNKS"], macros: columns.options,
      options: WeightFormat.allCases.map { $0.options + columns.options })
    matmulTiles = MatMulClass.all.map {
      let tile = tuning[.matmulTile, $0]
      return TileBlocks(tiles: tile["block_tiles"], tasksPerUnit: tile["tasks_per_unit"])
    }
    attentionQueries = tuning[.attentionCPU]["queries"]
    attention = tuning[.attentionGPU]
    encoderGroup = tuning[.encoderAttentionGPU]["GROUP"]
    productTiles = tuning[.productCPU]["block_tiles"]
    productPanels = tuning[.productCPU]["block_panels"]
  }

  func matmulTile(rows: Int, _ format: WeightFormat) -> TileBlocks {
    matmulTiles[MatMulClass.index(rows: rows, format)]
  }
}
