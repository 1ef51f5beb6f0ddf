// CPU-class devices: work-groups of one item, wide vectors, packed panels, no barrier.
extension KernelSource {
  public static let attentionLanes = KernelSource(
    "attention_lanes", PackageResources.attention_lanes_opencl,
    after: [.lanes, .vectorMath, .registerTile])
  public static let encoderAttentionTiles = KernelSource(
    "encoder_attention_tiles", PackageResources.encoder_attention_tiles_opencl,
    after: [.lanes, .vectorMath, .registerTile, .turnEight])
  public static let matmulInt8Panels = KernelSource(
    "matmul_int8_panels", PackageResources.matmul_int8_panels_opencl,
    after: [.int8Groups, .lanes, .registerTile], roundsDivision: true)
  public static let matmulPanels = KernelSource(
    "matmul_panels", PackageResources.matmul_panels_opencl,
    after: [.blockFormats, .lanes, .panelFormats, .registerTile])
  public static let packPanels = KernelSource(
    "pack_panels", PackageResources.pack_panels_opencl,
    after: [.blockFormats, .int8Groups, .lanes, .panelFormats], roundsDivision: true)
  public static let panelFormats = KernelSource("panel_formats", PackageResources.panel_formats_opencl)
  public static let productPanels = KernelSource(
    "product_panels", PackageResources.product_panels_opencl, after: [.registerTile, .turnEight])
  public static let registerTile = KernelSource("register_tile", PackageResources.register_tile_opencl)
  public static let turnEight = KernelSource("turn_eight", PackageResources.turn_eight_opencl)
}
