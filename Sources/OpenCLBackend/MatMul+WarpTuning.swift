import Basics
import OpenCLRuntime
import Tensors

extension TunableKernel {
  /// `matmul_mma` (matmul_mma.opencl): warps side by side along columns and rows, rows of a warp, spans of k under
  /// way, and groups of rows that lie together.
  public static let matmulWarp = TunableKernel(
    "matmul_mma.nvidia", family: .gpu, needsWarps: true,
    parameters: [
      TunableParameter("WARPS_N", [1, 2, 4]), TunableParameter("WARPS_X", [1, 2, 4]),
      TunableParameter("WARP_ROWS", [32, 64]), TunableParameter("STAGES", [2, 3, 4]),
      TunableParameter("BAND", [4, 8, 16]),
    ],
    classes: MatMulWarpClass.tiles,
    objection: { parameters, _ in
      let tiles = MatMulWarpTiles(parameters)
      // Few warps have many pieces each to copy, and their places take registers that the sums of 64 rows need.
      if parameters["WARP_ROWS"] == 64, min(parameters["WARPS_N"], parameters["WARPS_X"]) == 1 {
        return "registers would spill"
      }
      return warpObjection(items: tiles.items, localBytes: tiles.localBytes)
    },
    trial: { backend, shapeClass in
      // Where the emulation runs, the least that the class has.
      let large = shapeClass.hasSuffix("large")
      let pieces = backend.tuning[.matmulWarpChoice]["LARGE_FROM"]
      let (rows, inputs, outputs) =
        switch (TrialInputs.areSmall(backend), large) {
        case (true, true): (65, 32, 128 * pieces)
        case (true, false): (130, 576, 45)
        case (false, true): (4096, 4096, 4096)
        case (false, false): (512, 4096, 4096)
        }
      return try warpTrial(backend, shapeClass, rows: rows, inputs: inputs, outputs: [outputs])
    })

  /// `matmul_mma_rows`: sixteens of columns that a warp has, warps of a group where the chunks of k ask for no more,
  /// and spans of weights on their way to a warp that has few rows and columns.
  public static let matmulWarpRows = TunableKernel(
    "matmul_mma_rows.nvidia", family: .gpu, needsWarps: true,
    parameters: [
      TunableParameter("COLUMN_TILES", [1, 2]), TunableParameter("WARPS", [2, 4, 8]),
      TunableParameter("AHEAD", [4, 8, 16]),
    ],
    classes: MatMulWarpClass.rows,
    trial: { backend, shapeClass in
      let rows = shapeClass.hasSuffix("few") ? 8 : 32
      // More than the second-level cache holds.
      let (inputs, outputs) = TrialInputs.areSmall(backend) ? (576, 45) : (16384, 8192)
      return try warpTrial(backend, shapeClass, rows: rows, inputs: inputs, outputs: [outputs])
    })

  /// Which of the tiles for medium and for large results a product gets: from how many pieces of 256 rows by 128
  /// columns on the large ones.
  public static let matmulWarpChoice = TunableKernel(
    "matmul_mma_choice.nvidia", family: .gpu, needsWarps: true,
    parameters: [TunableParameter("LARGE_FROM", [32, 64, 128, 256, 512])],
    trial: { backend, _ in
      // 32 to 512 pieces on a GPU.
      TrialInputs.areSmall(backend)
        ? try warpTrial(backend, "dense", rows: 65, inputs: 32, outputs: [128 * 32, 45])
        : try warpTrial(
          backend, "dense", rows: 1024, inputs: 4096, outputs: [16384, 8192, 4096, 2048, 1024])
    })

  /// Products of the same rows with a weight for each number of outputs; the result is the first one's.
  private static func warpTrial(
    _ backend: OpenCLBackend, _ shapeClass: String, rows: Int, inputs: Int, outputs: [Int]
  ) throws -> TuningTrial {
    let dtype: DType =
      !shapeClass.hasPrefix("quantised") ? .bf16 : inputs % DType.q4_K.blockSize == 0 ? .q4_K : .q8_0
    let x = try TrialInputs.matrix(backend, rows, inputs, seed: 14)
    let weights = try outputs.map {
      try TrialInputs.stored(backend, inputs: inputs, outputs: $0, dtype, seed: UInt64($0))
    }
    let operations = try weights.map { try MatMul(x: x.shape, weight: $0, bias: nil) }
    return TuningTrial(
      flops: operations.reduce(0) { $0 + $1.flops }, bytes: operations.reduce(0) { $0 + $1.bytes },
      tolerance: TrialInputs.warpTolerance
    ) {
      let results = try weights.map { try backend.matmul(x, $0, bias: nil) }
      return results[0]
    }
  }

  /// Why a group would not fit an NVIDIA multiprocessor: a lane may have 255 registers where 256 of them are at work,
  /// and a kernel 48 KiB of local memory unless it asks for more by means that OpenCL has not.
  static func warpObjection(items: Int, localBytes: Int) -> String? {
    // Pieces of a tile on their way are registers.
    if items < 64 { return "one warp would have too many pieces to copy" }
    if items > 256 { return "groups of \(items) items would leave each too few registers" }
    return localBytes > 48 << 10 ? "\(localBytes) bytes of local memory, 49152 is the most" : nil
  }
}
