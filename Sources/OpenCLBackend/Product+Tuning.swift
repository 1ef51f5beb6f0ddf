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
}
