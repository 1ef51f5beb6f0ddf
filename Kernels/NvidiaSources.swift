// NVIDIA's GPUs: instructions of a whole warp.
extension KernelSource {
  public static let warp = KernelSource("warp", PackageResources.warp_opencl)
}
