import OpenCLRuntime
import Tensors

extension TunableKernel {
  /// `product_tiles` (product_panels.opencl): tiles of rows and panels of columns that an item takes.
  public static let productCPU = TunableKernel(
    "product.cpu", family: .cpu,
    parameters: [
      TunableParameter("block_tiles", [2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 64]),
      TunableParameter("block_panels", [1, 2, 4, 8, 16]),
    ],
    trial: { backend, _ in
      let (m, n, k) = (240, 512, 384)
      let a = try TrialInputs.matrix(backend, m, k, seed: 3)
      let b = try TrialInputs.matrix(backend, k, n, seed: 4)
      let operation = try Product(
        a.shape, transposeA: false, b.shape, transposeB: false, bias: nil, addTo: nil, precision: .f32)
      return TuningTrial(operation) {
        try backend.product(
          a, transposeA: false, b, transposeB: false, bias: nil, addTo: nil, precision: .f32)
      }
    })
  /// `product_mma` (product_mma.opencl): warps side by side along the result's rows and columns.
  public static let productWarp = TunableKernel(
    "product_mma.nvidia", family: .gpu, needsWarps: true,
    parameters: [TunableParameter("WARPS_M", [1, 2, 4]), TunableParameter("WARPS_N", [1, 2, 4, 8])],
    classes: ProductWarpTiles.classes,
    objection: { parameters, _ in
      let tiles = ProductWarpTiles(parameters)
      return warpObjection(items: tiles.items, localBytes: tiles.localBytes)
    },
    trial: { backend, shapeClass in
      let (m, n, k) = warpExtents(backend, shapeClass, large: (2048, 2048, 4096))
      return try warpTrial(backend, m, [n], k)
    })

  /// Which of the tiles for medium and for large results a product of training gets: from how many pieces of
  /// 128 × 128 elements on the large ones.
  public static let productWarpChoice = TunableKernel(
    "product_mma_choice.nvidia", family: .gpu, needsWarps: true,
    parameters: [TunableParameter("LARGE_FROM", [32, 64, 128, 256, 512])],
    trial: { backend, _ in
      // 32 to 512 pieces on a GPU.
      TrialInputs.areSmall(backend)
        ? try warpTrial(backend, 40, [128 * 32, 70], 32)
        : try warpTrial(backend, 1024, [8192, 4096, 2048, 1024, 512], 1024)
    })

  /// `product_wgmma` (product_wgmma.opencl): warpgroups of a group, and groups of rows that lie together.
  public static let productWarpgroup = TunableKernel(
    "product_wgmma.nvidia", family: .gpu, needsWarpgroups: true,
    parameters: [
      TunableParameter("WARPGROUPS", KernelFeatures.WarpgroupInstructions.groupSizes),
      TunableParameter("BAND", [4, 8, 16]),
    ],
    classes: ProductWarpTiles.classes,
    trial: { backend, shapeClass in
      let (m, n, k) = warpExtents(backend, shapeClass, large: (4096, 4096, 4096))
      return try warpTrial(backend, m, [n], k, onWarpgroups: backend.canMultiplyOnWarpgroups)
    })

  /// Whether `wgmma` multiplies where the device can, at every shape alike: 1, or `mma.sync`: 0.
  public static let productWarpgroupChoice = TunableKernel(
    "product_wgmma_choice.nvidia", family: .gpu, needsWarpgroups: true, bitsOf: .training,
    parameters: [TunableParameter("WGMMA", [0, 1], changesBits: true)],
    trial: { backend, _ in
      if TrialInputs.areSmall(backend) { return try warpTrial(backend, 70, [130], 100) }
      // Outputs of layers in a step of 32 × 128 tokens, and the gradients of their weights, which have few elements
      // of many terms.
      let trials = [
        try warpTrial(backend, 4096, [1536, 384], 384), try warpTrial(backend, 384, [1536, 384], 4096),
      ]
      return TuningTrial(
        flops: trials[0].flops + trials[1].flops, bytes: trials[0].bytes + trials[1].bytes,
        tolerance: TrialInputs.warpTolerance
      ) { try trials.map { try $0.run() }[0] }
    })

  /// The extents that stand for a class of ``ProductWarpTiles/classes``: `large` on a GPU for the large one; where the
  /// emulation runs, the least that the class has.
  private static func warpExtents(
    _ backend: OpenCLBackend, _ shapeClass: String, large: (m: Int, n: Int, k: Int)
  ) -> (m: Int, n: Int, k: Int) {
    switch (TrialInputs.areSmall(backend), shapeClass == "large") {
    case (true, true): (40, 128 * backend.tuning[.productWarpChoice]["LARGE_FROM"], 32)
    case (true, false): (130, 70, 100)
    case (false, true): large
    case (false, false): (1024, 1024, 1024)
    }
  }

  /// A layer's outputs, and its weights' gradient added to them so that one result tells of both: they read their
  /// operands in opposite ways. For each of several numbers of columns; the result is the first one's.
  ///
  /// - Parameter onWarpgroups: what multiplies; by default what the backend's parameters of the moment say.
  private static func warpTrial(
    _ backend: OpenCLBackend, _ m: Int, _ columns: [Int], _ k: Int, onWarpgroups: Bool? = nil
  ) throws -> TuningTrial {
    let a = try TrialInputs.matrix(backend, m, k, seed: 15)
    let transposed = try TrialInputs.matrix(backend, k, m, seed: 16)
    let operands = try columns.map {
      (try TrialInputs.matrix(backend, $0, k, seed: 17), try TrialInputs.matrix(backend, k, $0, seed: 18))
    }
    let operations = try operands.map {
      try Product(
        a.shape, transposeA: false, $0.0.shape, transposeB: true, bias: nil, addTo: nil, precision: .bf16)
    }
    return TuningTrial(
      flops: 2 * operations.reduce(0) { $0 + $1.flops }, bytes: 2 * operations.reduce(0) { $0 + $1.bytes },
      tolerance: TrialInputs.warpTolerance
    ) {
      let groups = onWarpgroups ?? backend.multipliesOnWarpgroups(.bf16)
      let results = try operands.map { b, d in
        let y = try backend.product(
          a, transposeA: false, b, transposeB: true, bias: nil, addTo: nil, precision: .bf16,
          onWarpgroups: groups)
        return try backend.product(
          transposed, transposeA: true, d, transposeB: false, bias: nil, addTo: y, precision: .bf16,
          onWarpgroups: groups)
      }
      return results[0]
    }
  }
}
