import Basics
import OpenCLRuntime
import Tensors

/// Classes of products with panels. A row's sum is the same in all of them.
enum MatMulClass {
  static let all = ["f32.few", "f32.many", "packed.few", "packed.many"]

  /// The class's place in ``all``: up to 64 rows are few; `packed` weights are widened while they are multiplied.
  static func index(rows: Int, _ format: WeightFormat) -> Int {
    (format == .f32 ? 0 : 2) + (rows <= 64 ? 0 : 1)
  }
}

extension TunableKernel {
  /// `matmul_tile` (matmul_panels.opencl): the most tiles of rows that an item takes, and how many items a compute
  /// unit should have before rows are shared out no further.
  public static let matmulTile = TunableKernel(
    "matmul_tile.cpu", family: .cpu,
    parameters: [
      TunableParameter("block_tiles", [1, 2, 4, 8, 16, 32, 64]),
      TunableParameter("tasks_per_unit", [1, 2, 4, 8, 16]),
    ],
    classes: MatMulClass.all,
    trial: { backend, shapeClass in
      let rows = shapeClass.hasSuffix("few") ? 36 : 256
      return try matmulTrial(
        backend, rows: rows, inputs: 512, outputs: 512, shapeClass.hasPrefix("f32") ? .f32 : .bf16)
    })

  /// `matmul_columns` (matmul_tiled.opencl): columns of a group, and chunks of 256 terms that it sums side by side.
  public static let matmulColumns = TunableKernel(
    "matmul_columns.gpu", family: .gpu,
    parameters: [
      TunableParameter("COLUMNS", [1, 2, 4, 8, 16, 32]), TunableParameter("CHUNKS", [1, 2, 4, 8, 16, 32]),
    ],
    objection: { parameters, device in
      groupObjection(parameters["COLUMNS"] * parameters["CHUNKS"], device)
    },
    trial: { backend, _ in try matmulTrial(backend, rows: 1, inputs: 2048, outputs: 2048, .bf16) })

  private static func matmulTrial(
    _ backend: OpenCLBackend, rows: Int, inputs: Int, outputs: Int, _ compute: ComputeMode
  ) throws -> TuningTrial {
    let x = try TrialInputs.matrix(backend, rows, inputs, seed: 1)
    let weight = try TrialInputs.weight(backend, inputs: inputs, outputs: outputs, compute: compute, seed: 2)
    return TuningTrial(try MatMul(x: x.shape, weight: weight, bias: nil)) {
      try backend.matmul(x, weight, bias: nil)
    }
  }

  /// Says so where a group has more items than the device allows.
  static func groupObjection(_ items: Int, _ device: OpenCLDevice) -> String? {
    items > device.maxWorkGroupSize
      ? "groups of \(items) items, and \(device.name) allows \(device.maxWorkGroupSize)" : nil
  }
}
