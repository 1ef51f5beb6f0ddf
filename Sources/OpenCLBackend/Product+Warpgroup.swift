import Basics
import Kernels
import OpenCLRuntime
import Tensors

/// Launch shapes of training's products on Hopper's warpgroups (product_wgmma.opencl); none of them changes a result.
struct ProductWarpgroupTiles {
  static let columns = 128

  let rows: Int
  let items: Int
  let options: KernelOptions

  init(_ tuned: KernelParameters) {
    rows = 64 * tuned["WARPGROUPS"]
    items = 128 * tuned["WARPGROUPS"]
    options = tuned.options
  }

  func groups(rows: Int, columns: Int) -> Int {
    ((columns + Self.columns - 1) / Self.columns) * ((rows + self.rows - 1) / self.rows)
  }
}

/// Training's products in bfloat16 by `wgmma`, where the device was seen to run it and its table asks for it.
///
/// Within one instruction the hardware's order of sums is not documented, so this is a choice for products of every
/// shape at once: a result's bits follow from the device and its table.
extension OpenCLBackend {
  /// Whether products in `precision` run on warpgroups: where they can and the device's table says so.
  public func multipliesOnWarpgroups(_ precision: DType) -> Bool {
    canMultiplyOnWarpgroups && precision == .bf16 && tuned.warps.productOnWarpgroups
  }

  /// Whether products in bfloat16 can run on warpgroups.
  public var canMultiplyOnWarpgroups: Bool { family == .gpu && features.warpgroupInstructions != .none }

  /// An operand in bfloat16 in the order of product_wgmma's reads.
  ///
  /// - Parameters:
  ///   - turned: whether rows lie along neighbouring addresses.
  ///   - tile: rows of a tile, 16 or 128, which has `pieces` of 16 bytes for a span of 32 terms.
  private func packed(
    _ kernel: StaticString, _ view: FloatView, turned: Bool, rows: Int, terms: Int, spans: Int, tile: Int,
    pieces: Int
  ) throws -> OpenCLBuffer {
    let tiles = (rows + tile - 1) / tile
    let buffer = try context.makeBuffer(byteCount: max(1, tiles * spans * pieces) * 16)
    guard spans > 0 else { return buffer }
    let emulation: KernelOptions = features.warpgroupInstructions == .emulated ? "-DWARP_EMULATED=1 " : ""
    try context.launch(
      try library.kernel(.packWGMMA, kernel, emulation),
      [
        .buffer("x", view.buffer), .uint("offset", view.offset),
        .uint("row_step", turned ? 1 : view.stride), .uint("term", turned ? view.stride : 1),
        .buffer("packed", buffer), .uint("rows", UInt32(rows)), .uint("K", UInt32(terms)),
      ], global: (pieces * spans, tiles, 1), local: nil)
    return buffer
  }

  /// - Parameter result: the kernel's arguments from the bias to the extents.
  func multiplyWarpgroups(
    _ operation: Product, _ a: FloatView, transposeA: Bool, _ b: FloatView, transposeB: Bool,
    _ result: [KernelArgument]
  ) throws {
    let (m, n, k) = (operation.m, operation.n, operation.k)
    let spans = (k + 127) / 128 * 4
    let left = try packed(
      "product_wgmma_left", a, turned: transposeA, rows: m, terms: k, spans: spans, tile: 16, pieces: 64)
    let right = try packed(
      "product_wgmma_right", b, turned: !transposeB, rows: n, terms: k, spans: spans,
      tile: ProductWarpgroupTiles.columns, pieces: 512)
    let tiles = tuned.warps.productGroups[
      ProductWarpTiles.index(rows: m, columns: n, largeFrom: tuned.warps.productLargeFrom)]
    try context.launch(
      try library.kernel(.productWGMMA, "product_wgmma", tiles.options),
      [.buffer("left", left), .buffer("right", right)],
      and: result + [.uint("spans", UInt32(spans))],
      global: (tiles.groups(rows: m, columns: n) * tiles.items, 1, 1), local: (tiles.items, 1, 1))
  }

  /// Whether `wgmma` gives the bits of `mma.sync` for the same terms in the same places of an instruction. Nothing
  /// documents that; where it holds, the choice between them need not change bits.
  ///
  /// - Throws: `unsupported` where the device has not both.
  public func warpgroupsAddAsWarps() throws -> Bool {
    guard multipliesOnWarps(.bf16) else {
      throw RetortError(
        .unsupported, "this device has no mma.sync", remedy: "Compare on a device that has both.")
    }
    let (rows, terms) = (128, 512)
    let values = [21, 22].map { TrialInputs.floats(rows * terms, seed: $0) }
    // Lane t gives product_mma's two instructions the terms 8t … 8t+7 of 32: here those that have these places in
    // product_wgmma's.
    let placed = values.map { values in
      values.indices.map { index in
        let (lane, term) = (index % 32 / 8, index % 8)
        return values[index / 32 * 32 + term / 4 * 16 + term % 4 / 2 * 8 + lane * 2 + term % 2]
      }
    }
    return try warpgroupsMultiply(values, asWarps: placed, terms: terms)
  }

  /// Whether `wgmma` multiplies two operands, [rows, terms], to the bits that `mma.sync` makes of two others.
  func warpgroupsMultiply(_ operands: [[Float]], asWarps others: [[Float]], terms: Int) throws -> Bool {
    let results = try [(operands, true), (others, false)].map { operands, onWarpgroups in
      let tensors = try operands.map { try upload($0, shape: [$0.count / terms, terms]) }
      return try read(
        product(
          tensors[0], transposeA: false, tensors[1], transposeB: true, bias: nil, addTo: nil,
          precision: .bf16, onWarpgroups: onWarpgroups))
    }
    return zip(results[0], results[1]).allSatisfy { $0.bitPattern == $1.bitPattern }
  }
}
