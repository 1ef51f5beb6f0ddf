// NVIDIA's GPUs: instructions of a whole warp.
extension KernelSource {
  public static let attentionMMA = KernelSource(
    "attention_mma", PackageResources.attention_mma_opencl, after: [.warp])
  public static let matmulMMA = KernelSource(
    "matmul_mma", PackageResources.matmul_mma_opencl, after: [.blockFormats, .warp, .mmaWeights])
  public static let matmulMMAInt8 = KernelSource(
    "matmul_mma_int8", PackageResources.matmul_mma_int8_opencl, after: [.int8Groups, .warp])
  public static let mmaWeights = KernelSource("mma_weights", PackageResources.mma_weights_opencl)
  public static let productMMA = KernelSource(
    "product_mma", PackageResources.product_mma_opencl, after: [.warp])
  public static let warp = KernelSource("warp", PackageResources.warp_opencl)
}
