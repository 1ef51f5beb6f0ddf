import Basics
import Kernels

/// Hopper's `wgmma`, by each way in which a driver may take it.
extension DeviceProbe {
  typealias WarpgroupWay = (
    way: KernelFeatures.WarpgroupInstructions, instructions: [DeviceModel.Instruction]
  )

  /// Tries the ways in order, the simplest first, with every number of warpgroups that a table may ask for; each in a
  /// context of its own, which a fault may spoil.
  func probeWarpgroups() -> [WarpgroupWay] {
    [(.option, "-cl-nv-arch"), (.rewritten, "rewritten PTX")].map { way, name in
      let instructions = KernelFeatures.WarpgroupInstructions.groupSizes.map { warpgroups in
        let works = Probed {
          // Not from the cache: what an earlier driver made may no longer be what this one makes.
          try Self.multipliesOnWarpgroups(
            OpenCLContext(device: device, cache: BinaryCache(folder: nil)), way, warpgroups)
        }
        return DeviceModel.Instruction(name: "wgmma × \(warpgroups), \(name)", works: works)
      }
      return (way, instructions)
    }
  }

  /// Whether `product_wgmma` gives a product of whole numbers, which are exact, in all its elements: with buffers that
  /// are filled four times, and rows, columns and terms that fill no tile.
  ///
  /// - Parameter warpgroups: of a work-group.
  /// - Throws: what the driver says where it refuses the program.
  static func multipliesOnWarpgroups(
    _ context: OpenCLContext, _ way: KernelFeatures.WarpgroupInstructions, _ warpgroups: Int
  ) throws -> Bool {
    let (m, n, k) = (270, 130, 420)
    let (tile, items) = (64 * warpgroups, 128 * warpgroups)
    // Rows that repeat after 13 and 17, which no tile is a multiple of: so few sums have to be added up here.
    let a = (0..<m * k).map { Float(($0 * 5 + $0 / k * 3) % 13) - 6 }
    let b = (0..<n * k).map { Float(($0 * 7 + $0 / k * 2) % 17) - 8 }
    let sums = (0..<13 * 17).map { pair in
      (0..<k).reduce(Float(0)) { $0 + a[pair / 17 * k + $1] * b[pair % 17 * k + $1] }
    }
    let spans = WarpgroupOperand.spans(terms: k)
    let left = try packed(.left, context, way, a, rows: m, terms: k)
    let right = try packed(.right, context, way, b, rows: n, terms: k)
    let y = try context.makeBuffer(byteCount: m * n * 4)
    // Of a copy that never ends only results are missed, not the device.
    let program = try makeProgram(
      .productWGMMA, context, way, "-DWARPGROUPS=\(warpgroups) -DWARPGROUP_TRIES=100000 ")
    try context.launch(
      try program.kernel("product_wgmma"),
      [
        .buffer("left", left), .buffer("right", right), .buffer("bias", y), .uint("bias_offset", 0),
        .int("has_bias", 0), .buffer("y", y), .uint("y_offset", 0), .uint("y_stride", UInt32(n)),
        .int("accumulate", 0), .uint("m", UInt32(m)), .uint("n", UInt32(n)), .uint("spans", UInt32(spans)),
      ], global: ((n + 127) / 128 * ((m + tile - 1) / tile) * items, 1, 1), local: (items, 1, 1))
    var results = [Float](repeating: .nan, count: m * n)
    try results.withUnsafeMutableBytes { try context.read(y, into: $0) }
    return results.indices.allSatisfy { results[$0] == sums[$0 / n % 13 * 17 + $0 % n % 17] }
  }

  private static func packed(
    _ operand: WarpgroupOperand, _ context: OpenCLContext, _ way: KernelFeatures.WarpgroupInstructions,
    _ values: [Float], rows: Int, terms: Int
  ) throws -> OpenCLBuffer {
    let x = try context.makeBuffer(byteCount: values.count * 4)
    try values.withUnsafeBytes { try context.write($0, to: x) }
    return try operand.pack(x, rowStep: UInt32(terms), term: 1, rows: rows, terms: terms, in: context) {
      try makeProgram(.packWGMMA, context, way).kernel(operand.kernel.description)
    }
  }

  private static func makeProgram(
    _ source: KernelSource, _ context: OpenCLContext, _ way: KernelFeatures.WarpgroupInstructions,
    _ options: String = ""
  ) throws -> OpenCLProgram {
    try context.makeProgram(
      name: source.name, source: source.programText,
      options: "-cl-std=CL1.2 " + options + way.buildOptions(for: source),
      rewrites: source.needsSM90a && way == .rewritten)
  }
}
