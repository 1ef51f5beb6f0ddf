import Basics
import OpenCLRuntime
import Tensors

/// Classes of int8 products on tensor cores; none of them changes a result.
enum Int8WarpClass {
  /// Up to 16 and up to 64 rows, whose weights go straight to registers.
  static let rows = ["few", "some"]
  /// More rows: in tiles.
  static let tiles = ["medium", "large"]
}

/// The tiles of `matmul_mma_int8` (matmul_mma_int8.opencl).
struct Int8WarpTiles: ResultTiles {
  let columns = 128
  let rows: Int
  let items: Int
  let localBytes: Int
  let options: KernelOptions

  init(_ tuned: KernelParameters) {
    rows = tuned["WARP_ROWS"] * tuned["WARPS_X"]
    items = 64 * tuned["WARPS_X"]
    localBytes = tuned["STAGES"] * (columns + rows) * 68
    options = tuned.options
  }
}

/// How `matmul_mma_int8_rows` divides its columns.
struct Int8WarpColumns {
  /// Columns of a group.
  let columns: Int
  let items: Int
  /// With as many rows as it takes.
  let localBytes: Int
  let options: KernelOptions

  init(_ tuned: KernelParameters) {
    columns = 16 * tuned["COLUMN_TILES"]
    items = 32 * tuned["WARPS"]
    localBytes = tuned["WARPS"] * max(tuned["AHEAD"], tuned["COLUMN_TILES"] * 8) * 512
    options = tuned.options
  }
}

extension TunableKernel {
  /// `matmul_mma_int8` (matmul_mma_int8.opencl): pairs of warps side by side along rows, rows of a warp, groups of 64
  /// terms under way, and groups of rows that lie together.
  public static let int8Warp = TunableKernel(
    "matmul_mma_int8.nvidia", family: .gpu, needsWarps: true,
    parameters: [
      TunableParameter("WARPS_X", [2, 3]), TunableParameter("WARP_ROWS", [32, 64]),
      TunableParameter("STAGES", [2, 3]), TunableParameter("BAND", [4, 8, 16]),
    ],
    classes: Int8WarpClass.tiles,
    objection: { parameters, _ in
      let tiles = Int8WarpTiles(parameters)
      return warpObjection(items: tiles.items, localBytes: tiles.localBytes)
    },
    trial: { backend, shapeClass in
      let large = shapeClass == "large"
      let pieces = backend.tuning[.matmulWarpChoice]["LARGE_FROM"]
      let (rows, inputs, outputs) =
        switch (TrialInputs.areSmall(backend), large) {
        case (true, true): (65, 64, 128 * pieces)
        case (true, false): (130, 576, 45)
        case (false, true): (4096, 4096, 4096)
        case (false, false): (512, 4096, 4096)
        }
      return try int8Trial(backend, rows: rows, inputs: inputs, outputs: outputs)
    })

  /// `matmul_mma_int8_rows`: sixteens of columns of a group, its warps, and steps that a warp has on their way.
  public static let int8WarpRows = TunableKernel(
    "matmul_mma_int8_rows.nvidia", family: .gpu, needsWarps: true,
    parameters: [
      TunableParameter("COLUMN_TILES", [1, 2]), TunableParameter("WARPS", [4, 8]),
      TunableParameter("AHEAD", [4, 8]),
    ],
    classes: Int8WarpClass.rows,
    objection: { parameters, _ in
      let shape = Int8WarpColumns(parameters)
      return warpObjection(items: shape.items, localBytes: shape.localBytes)
    },
    trial: { backend, shapeClass in
      // More than the second-level cache holds.
      let (inputs, outputs) = TrialInputs.areSmall(backend) ? (1344, 45) : (16384, 8192)
      return try int8Trial(
        backend, rows: shapeClass == "few" ? 8 : 32, inputs: inputs, outputs: outputs)
    })

  private static func int8Trial(_ backend: OpenCLBackend, rows: Int, inputs: Int, outputs: Int) throws
    -> TuningTrial
  {
    let x = try TrialInputs.matrix(backend, rows, inputs, seed: 15)
    let numbers = RandomWeights(seed: 16, deviation: 1 / Float(inputs).squareRoot())
    let weight = try backend.loadMatrix(
      [.random("trial", [outputs, inputs], .bf16, numbers)], compute: .int8)
    return TuningTrial(try MatMul(x: x.shape, weight: weight, bias: nil)) {
      try backend.matmul(x, weight, bias: nil)
    }
  }
}
