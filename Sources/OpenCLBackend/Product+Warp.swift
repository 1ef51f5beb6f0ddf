import Basics
import Kernels
import OpenCLRuntime
import Tensors

/// Launch shapes of training's tensor-core products (product_mma.opencl); none of them changes a result.
struct ProductWarpTiles: Sendable, Hashable {
  /// Warps along the result's rows, 64 of them each, and along its columns, 32 each.
  var warpsM: Int
  var warpsN: Int

  static let large = ProductWarpTiles(warpsM: 2, warpsN: 4)
  /// For results of which large tiles would be too few to keep a large GPU at work.
  static let small = ProductWarpTiles(warpsM: 1, warpsN: 2)

  static func choose(rows: Int, columns: Int) -> ProductWarpTiles {
    large.groups(rows: rows, columns: columns).count >= 128 ? large : small
  }

  var items: Int { 32 * warpsM * warpsN }
  var options: KernelOptions { "-DWARPS_M=\(warpsM) -DWARPS_N=\(warpsN) " }

  func groups(rows: Int, columns: Int) -> (across: Int, down: Int, count: Int) {
    let across = (columns + 32 * warpsN - 1) / (32 * warpsN)
    let down = (rows + 64 * warpsM - 1) / (64 * warpsM)
    return (across, down, across * down)
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
    let tiles = ProductWarpTiles.choose(rows: operation.m, columns: operation.n)
    let groups = tiles.groups(rows: operation.m, columns: operation.n)
    let turned: KernelOptions = "-DTURNED_A=\(transposeA ? 1 : 0) -DTURNED_B=\(transposeB ? 0 : 1) "
    try context.launch(
      try library.kernel(.productMMA, "product_mma", warpOptions + turned + tiles.options),
      arguments,
      global: (groups.across * tiles.items, groups.down, 1), local: (tiles.items, 1, 1))
  }
}
