import Basics
import OpenCLRuntime
import Tensors

/// Int8 products with panels, for the CPU family.
extension OpenCLBackend {
  func multiplyInt8Panels(
    _ operand: Int8Operand, _ segment: MatrixSegment, rows: Int, width: Int, _ common: [KernelArgument]
  ) throws {
    let panels = (segment.columns + 31) / 32
    let arguments: [KernelArgument] = [
      .buffer("packed", operand.buffer), .uint("steps", UInt32(operand.steps)),
      .buffer("panels", segment.buffer),
    ]
    if rows == 1 {
      return try launchItems(
        try library.kernel(.matmulInt8Panels, "matmul_int8_row", registerTile.options),
        arguments + [.uint("passes", UInt32(segment.passes))], and: common, panels)
    }
    let kernel = try library.kernel(.matmulInt8Panels, "matmul_int8_tile", registerTile.options)
    let blockTiles = tileBlock(operand.rowTiles, rows: rows, segment)
    func pass(_ first: Int, before: OpenCLBuffer?, _ common: [KernelArgument]) throws {
      try launchItems(
        kernel,
        arguments + [
          .uint("first_step", UInt32(first)), .buffer("before", before ?? operand.buffer),
          .int("has_before", before == nil ? 0 : 1),
        ], and: common, panels, (operand.rowTiles + blockTiles - 1) / blockTiles)
    }
    guard segment.passes > 1 else { return try pass(0, before: nil, common) }
    let before = try context.makeBuffer(byteCount: rows * segment.columns * 4)
    try pass(
      0, before: nil,
      [
        .buffer("bias", before), .uint("bias_offset", 0), .int("has_bias", 0), .buffer("y", before),
        .uint("y_offset", 0), .uint("y_stride", UInt32(segment.columns)), .uint("rows", UInt32(rows)),
        .uint("K", UInt32(width)), .uint("N", UInt32(segment.columns)),
      ])
    try pass((width + 63) / 64, before: before, common)
  }
}
