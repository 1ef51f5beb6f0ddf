import Basics
import Kernels
import OpenCLRuntime
import Tensors

/// Launch shapes of training's products on Hopper's warpgroups (product_wgmma.opencl); none of them changes a result.
struct ProductWarpgroupTiles: ResultTiles {
  let columns = WarpgroupOperand.right.rows
  let rows: Int
  let items: Int
  let options: KernelOptions

  init(_ tuned: KernelParameters) {
    rows = 64 * tuned["WARPGROUPS"]
    items = 128 * tuned["WARPGROUPS"]
    options = tuned.options
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

  /// - Parameter transposed: whether rows lie along neighbouring addresses.
  private func packed(
    _ operand: WarpgroupOperand, _ view: FloatView, transposed: Bool, rows: Int, terms: Int
  ) throws -> OpenCLBuffer {
    try operand.pack(
      view.buffer, offset: view.offset, rowStep: transposed ? 1 : view.stride,
      term: transposed ? view.stride : 1, rows: rows, terms: terms, in: context
    ) { try library.kernel(.packWGMMA, operand.kernel, "") }
  }

  /// - Parameter result: the kernel's arguments from the bias to the extents.
  func multiplyWarpgroups(
    _ operation: Product, _ a: FloatView, transposeA: Bool, _ b: FloatView, transposeB: Bool,
    _ result: [KernelArgument]
  ) throws {
    let (m, n, k) = (operation.m, operation.n, operation.k)
    let left = try packed(.left, a, transposed: transposeA, rows: m, terms: k)
    let right = try packed(.right, b, transposed: !transposeB, rows: n, terms: k)
    let tiles = tuned.warps.productGroups[
      ProductWarpTiles.index(rows: m, columns: n, largeFrom: tuned.warps.productLargeFrom)]
    let groups = tiles.groups(rows: m, columns: n)
    try context.launch(
      try library.kernel(.productWGMMA, "product_wgmma", tiles.options),
      [.buffer("left", left), .buffer("right", right)],
      and: result + [.uint("spans", UInt32(WarpgroupOperand.spans(terms: k)))],
      global: (groups.across * groups.down * tiles.items, 1, 1), local: (tiles.items, 1, 1))
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
