import Kernels

/// An operand of `product_wgmma` in bfloat16, as pack_wgmma.opencl orders it: in tiles of rows, each in spans of 32
/// terms, each in pieces of 16 bytes.
public struct WarpgroupOperand: Sendable {
  /// Whose rows are the product's rows.
  public static let left = WarpgroupOperand(kernel: "product_wgmma_left", rows: 16, pieces: 64)
  /// Whose rows are the product's columns.
  public static let right = WarpgroupOperand(kernel: "product_wgmma_right", rows: 128, pieces: 512)

  public let kernel: StaticString
  /// Rows of a tile.
  public let rows: Int
  /// Pieces of a tile's span.
  let pieces: Int

  /// Spans of so many terms, a multiple of four.
  public static func spans(terms: Int) -> Int { (terms + 127) / 128 * 4 }

  /// The operand `[rows, terms]` whose element (i, k) is at `offset + i · rowStep + k · term` of `x`.
  ///
  /// - Parameter built: ``kernel``, asked for where there is something to pack.
  /// - Throws: what the driver says; `outOfMemory`.
  public func pack(
    _ x: OpenCLBuffer, offset: UInt32 = 0, rowStep: UInt32, term: UInt32, rows: Int, terms: Int,
    in context: OpenCLContext, by built: () throws -> OpenCLKernel
  ) throws -> OpenCLBuffer {
    let (tiles, row) = ((rows + self.rows - 1) / self.rows, Self.spans(terms: terms) * pieces)
    let packed = try context.makeBuffer(byteCount: max(1, tiles * row) * 16)
    guard row > 0 else { return packed }
    try context.launch(
      try built(),
      [
        .buffer("x", x), .uint("offset", offset), .uint("row_step", rowStep), .uint("term", term),
        .buffer("packed", packed), .uint("rows", UInt32(rows)), .uint("K", UInt32(terms)),
      ], global: (row, tiles, 1), inParts: true)
    return packed
  }
}
