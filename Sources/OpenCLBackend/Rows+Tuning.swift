import OpenCLRuntime
import Tensors

extension TunableKernel {
  /// Columns of an item of the elementwise row kernels on CPU-class devices.
  public static let elementwiseCPU = TunableKernel(
    "elementwise.cpu", family: .cpu,
    parameters: [TunableParameter("SEGMENT", [128, 256, 512, 1024, 2048, 4096, 8192])],
    trial: { backend, _ in try elementwiseTrial(backend) })

  /// The same on GPU-class devices, whole vectors of four.
  public static let elementwiseGPU = TunableKernel(
    "elementwise.gpu", family: .gpu, parameters: [TunableParameter("SEGMENT", [4, 8, 16])],
    trial: { backend, _ in try elementwiseTrial(backend) })

  /// Items that share a row in norms, softmax and their gradients on GPU-class devices: they sum its columns.
  public static let normsGPU = TunableKernel(
    "norms.gpu", family: .gpu,
    parameters: [TunableParameter("GROUP", [32, 64, 128, 256, 512], changesBits: true)],
    objection: { parameters, device in groupObjection(parameters["GROUP"], device) },
    trial: { backend, _ in
      let x = try TrialInputs.matrix(backend, 256, 2048, seed: 5)
      let weight = try backend.upload(TrialInputs.floats(2048, seed: 6), shape: [2048])
      return TuningTrial(try RMSNorm(x: x.shape, weight: weight.shape, epsilon: 1e-5)) {
        try backend.rmsNorm(x, weight: weight, epsilon: 1e-5)
      }
    })

  private static func elementwiseTrial(_ backend: OpenCLBackend) throws -> TuningTrial {
    let gate = try TrialInputs.matrix(backend, 256, 4096, seed: 7)
    let up = try TrialInputs.matrix(backend, 256, 4096, seed: 8)
    return TuningTrial(try SiLUMul(gate: gate.shape, up: up.shape)) {
      try backend.siluMul(gate: gate, up: up)
    }
  }
}
