// Pieces that other sources build on.
extension KernelSource {
  public static let blockFormats = KernelSource("block_formats", PackageResources.block_formats_opencl)
  public static let dropoutDraws = KernelSource("dropout_draws", PackageResources.dropout_draws_opencl)
  public static let int8Groups = KernelSource("int8_groups", PackageResources.int8_groups_opencl)
  public static let lanes = KernelSource("lanes", PackageResources.lanes_opencl)
  public static let vectorMath = KernelSource("vector_math", PackageResources.vector_math_opencl)
}
