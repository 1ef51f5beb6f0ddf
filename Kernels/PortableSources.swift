// GPU-class devices: work-groups with local memory, core OpenCL C only.
extension KernelSource {
  public static let attention = KernelSource(
    "attention", PackageResources.attention_opencl, after: [.vectorMath, .attentionTile])
  public static let attentionTile = KernelSource("attention_tile", PackageResources.attention_tile_opencl)
  public static let encoderAttentionGradient = KernelSource(
    "encoder_attention_gradient", PackageResources.encoder_attention_gradient_opencl, after: [.vectorMath])
  public static let encoderAttentionBlocks = KernelSource(
    "encoder_attention_blocks", PackageResources.encoder_attention_blocks_opencl,
    after: [.vectorMath, .attentionTile])
  public static let matmulInt8 = KernelSource(
    "matmul_int8", PackageResources.matmul_int8_opencl, after: [.int8Groups])
  public static let matmulTiled = KernelSource(
    "matmul_tiled", PackageResources.matmul_tiled_opencl, after: [.blockFormats])
  public static let productTiled = KernelSource("product_tiled", PackageResources.product_tiled_opencl)
  public static let quantizeInt8 = KernelSource(
    "quantize_int8", PackageResources.quantize_int8_opencl, after: [.blockFormats, .int8Groups],
    roundsDivision: true)
}
