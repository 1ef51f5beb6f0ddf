// Kernels that measure a device or try an instruction on it.
extension KernelSource {
  public static let probeInstructions = KernelSource(
    "probe_instructions", PackageResources.probe_instructions_opencl)
  public static let probeRates = KernelSource("probe_rates", PackageResources.probe_rates_opencl)
}
