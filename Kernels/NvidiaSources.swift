// NVIDIA's GPUs: instructions of a whole warp.
extension KernelSource {
  public static let attentionMMA = KernelSource("attention_mma", PackageResources.attention_mma_opencl)
  public static let warp = KernelSource("warp", PackageResources.warp_opencl)
}
