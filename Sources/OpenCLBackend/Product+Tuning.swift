import Tensors

extension TunableKernel {
  /// `product_panels`: rows of an item.
  public static let productCPU = TunableKernel(
    "product.cpu", family: .cpu, parameters: [TunableParameter("ROWS", [2, 3, 4, 5, 6, 8, 10, 12])],
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
