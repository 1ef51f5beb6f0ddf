// NVIDIA's GPUs: instructions of a whole warp.
extension KernelSource {
  public static let attentionMMA = KernelSource(
    "attention_mma", PackageResources.attention_mma_opencl, after: [.warp])
  public static let encoderAttentionMMA = KernelSource(
    "encoder_attention_mma", PackageResources.encoder_attention_mma_opencl, after: [.warp, .encoderTile])
  public static let encoderAttentionGradientMMA = KernelSource(
    "encoder_attention_gradient_mma", PackageResources.encoder_attention_gradient_mma_opencl,
    after: [.warp, .encoderTile])
  public static let encoderTile = KernelSource("encoder_tile", PackageResources.encoder_tile_opencl)
  public static let matmulMMA = KernelSource(
    "matmul_mma", PackageResources.matmul_mma_opencl, after: [.blockFormats, .warp, .mmaWeights])
  public static let matmulMMAInt8 = KernelSource(
    "matmul_mma_int8", PackageResources.matmul_mma_int8_opencl, after: [.int8Groups, .warp])
  public static let mmaWeights = KernelSource("mma_weights", PackageResources.mma_weights_opencl)
  public static let packWGMMA = KernelSource(
    "pack_wgmma", PackageResources.pack_wgmma_opencl, after: [.warp, .warpgroup])
  public static let productMMA = KernelSource(
    "product_mma", PackageResources.product_mma_opencl, after: [.warp])
  public static let productWGMMA = KernelSource(
    "product_wgmma", PackageResources.product_wgmma_opencl, after: [.warp, .warpgroup], needsSM90a: true)
  public static let warp = KernelSource("warp", PackageResources.warp_opencl)
  public static let warpgroup = KernelSource("warpgroup", PackageResources.warpgroup_opencl)
}
