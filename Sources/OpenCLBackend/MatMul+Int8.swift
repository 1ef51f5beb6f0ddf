import Basics
import OpenCLRuntime
import Tensors

/// Rows of x in int8, as the family's kernels read them (int8_groups.opencl, matmul_int8_panels.opencl).
struct Int8Operand {
  let buffer: OpenCLBuffer
  /// Tiles of eight rows or, in the CPU family, of a ``RegisterTile``.
  let rowTiles: Int
  /// Groups of 64 terms, twice as many where any part of the matrix takes 15 bits.
  let steps: Int
}

/// Products in int8: on tensor cores where a warp's instructions exist, on other GPUs in plain OpenCL C with the
/// device's product of four bytes, on the CPU family in multiply-adds of floats. All give the same bits.
extension OpenCLBackend {
  private var usesInt8Warps: Bool { features.warpInstructions != .none }

  /// By the device's own instruction or function where it has one. Intel's compiler declares the functions of
  /// cl_khr_integer_dot_product only in OpenCL C 3.0; the last standard that is named counts.
  static func int8DotOptions(_ features: KernelFeatures, _ device: OpenCLDevice) -> KernelOptions {
    if features.dp4a { return "-DDP4A=1 " }
    let hasFunctions = features.integerDotProduct && device.version.hasPrefix("OpenCL 3")
    return hasFunctions ? "-DINTEGER_DOT=1 -cl-std=CL3.0 " : ""
  }

  /// Quantises the rows.
  func int8Operand(_ input: FloatView, _ matrix: OpenCLMatrix, rows: Int) throws -> Int8Operand {
    let isFine = matrix.segments.contains { $0.passes > 1 }
    let groups = (matrix.inputWidth + 63) / 64
    let steps = isFine ? 2 * groups : groups
    let arguments: [KernelArgument] = [
      .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
      .uint("rows", UInt32(rows)), .uint("K", UInt32(matrix.inputWidth)), .uint("fine", isFine ? 1 : 0),
    ]
    guard family == .gpu else {
      let tiles = registerTile.tiles(rows)
      // Codes as floats, and scales.
      let buffer = try context.makeBuffer(byteCount: tiles * steps * registerTile.rows * 65 * 4)
      try launchItems(
        try library.kernel(.matmulInt8Panels, "quantize_tiles", registerTile.options),
        arguments, and: [.buffer("packed", buffer)], tiles, groups)
      return Int8Operand(buffer: buffer, rowTiles: tiles, steps: steps)
    }
    let tiles = (usesInt8Warps ? rowTiles(rows) : nil) ?? (rows + 7) / 8
    // Codes and scales of eight rows.
    let buffer = try context.makeBuffer(byteCount: tiles * steps * (512 + 32))
    try context.launch(
      try library.kernel(.quantizeInt8, "quantize_rows", ""), arguments, and: [.buffer("operand", buffer)],
      global: (16 * groups, 8 * tiles, 1), local: (16, 8, 1))
    return Int8Operand(buffer: buffer, rowTiles: tiles, steps: steps)
  }

  func multiplyInt8(
    _ operand: Int8Operand, _ segment: MatrixSegment, rows: Int, width: Int, _ common: [KernelArgument]
  ) throws {
    guard family == .gpu else {
      return try multiplyInt8Panels(operand, segment, rows: rows, width: width, common)
    }
    let arguments: [KernelArgument] = [
      .buffer("operand", operand.buffer), .uint("row_tiles", UInt32(operand.rowTiles)),
      .uint("steps", UInt32(operand.steps)), .buffer("weights", segment.buffer),
      .uint("passes", UInt32(segment.passes)),
    ]
    if !usesInt8Warps {
      try multiplyInt8Portably(segment, rows: rows, arguments, common)
    } else if let tiles = rowTiles(rows) {
      let shape = tuned.warps.int8Columns[tiles <= 2 ? 0 : 1]
      let kernel = try library.kernel(
        .matmulMMAInt8, "matmul_mma_int8_rows",
        warpOptions + shape.options + "-DPART=2 -DROW_TILES=\(tiles) ")
      let groups = (segment.columns + shape.columns - 1) / shape.columns
      try context.launch(
        kernel, arguments, and: common, global: (groups * shape.items, 1, 1), local: (shape.items, 1, 1))
    } else {
      let isLarge = MatMulWarpClass.isLarge(
        rows: rows, columns: segment.columns, largeFrom: tuned.warps.matmulLargeFrom)
      let shape = tuned.warps.int8Tiles[isLarge ? 1 : 0]
      let kernel = try library.kernel(
        .matmulMMAInt8, "matmul_mma_int8", warpOptions + shape.options + "-DPART=1 ")
      let groups = shape.groups(rows: rows, columns: segment.columns)
      for pass in 0..<segment.passes {
        try context.launch(
          kernel, arguments + [.uint("first_step", UInt32(pass * ((width + 63) / 64)))], and: common,
          global: (groups.across * groups.down * shape.items, 1, 1), local: (shape.items, 1, 1))
      }
    }
  }

  private func multiplyInt8Portably(
    _ segment: MatrixSegment, rows: Int, _ arguments: [KernelArgument], _ common: [KernelArgument]
  ) throws {
    if rows > 8 {
      try context.launch(
        try library.kernel(.matmulInt8, "matmul_int8_tiled", int8DotOptions + tuned.matmulColumns.macros),
        arguments, and: common,
        global: ((segment.columns + 63) / 64 * 16, (rows + 63) / 64 * 16, 1), local: (16, 16, 1))
    } else {
      let (columns, chunks) = (tuned.matmulColumns.columns, tuned.matmulColumns.chunks)
      try context.launch(
        try library.kernel(.matmulInt8, "matmul_int8_columns", int8DotOptions + tuned.matmulColumns.macros),
        arguments, and: common,
        global: (chunks, (segment.columns + columns - 1) / columns * columns, rows),
        local: (chunks, columns, 1), inParts: true)
    }
  }
}
