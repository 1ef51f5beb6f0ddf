import Basics
import Kernels
import OpenCLRuntime
import Tensors

/// Launch shapes of training's tensor-core products (product_mma.opencl); none of them changes a result.
struct ProductWarpTiles: ResultTiles {
  static let classes = ["medium", "large"]

  let rows: Int
  let columns: Int
  let items: Int
  /// Two buffers of 32 k's in 16 bits.
  let localBytes: Int
  let options: KernelOptions

  init(_ tuned: KernelParameters) {
    rows = 64 * tuned["WARPS_M"]
    columns = 32 * tuned["WARPS_N"]
    items = 32 * tuned["WARPS_M"] * tuned["WARPS_N"]
    localBytes = 2 * (rows + columns) * 64
    options = tuned.options
  }

  /// The place in `classes`.
  ///
  /// - Parameter largeFrom: pieces of 128 × 128 elements from which on a result is large.
  static func index(rows: Int, columns: Int, largeFrom: Int) -> Int {
    ((columns + 127) / 128) * ((rows + 127) / 128) >= largeFrom ? 1 : 0
  }
}

/// Training's products in bfloat16 on tensor cores, for the GPU family where a warp's instructions exist.
extension OpenCLBackend {
  /// Whether products in `precision` run on tensor cores.
  func multipliesOnWarps(_ precision: DType) -> Bool {
    family == .gpu && features.warpInstructions != .none && precision == .bf16
  }

  func multiplyWarps(
    _ operation: Product, transposeA: Bool, transposeB: Bool, _ arguments: [KernelArgument]
  ) throws {
    let tiles = tuned.warps.productTiles[
      ProductWarpTiles.index(rows: operation.m, columns: operation.n, largeFrom: tuned.warps.productLargeFrom)
    ]
    let groups = tiles.groups(rows: operation.m, columns: operation.n)
    let turned: KernelOptions = "-DTURNED_A=\(transposeA ? 1 : 0) -DTURNED_B=\(transposeB ? 0 : 1) "
    try context.launch(
      try library.kernel(.productMMA, "product_mma", warpOptions + turned + tiles.options),
      arguments,
      global: (groups.across * tiles.items, groups.down, 1), local: (tiles.items, 1, 1))
  }
}
