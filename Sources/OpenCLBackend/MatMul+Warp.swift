import Basics
import Kernels
import OpenCLRuntime
import Tensors

/// Classes of products on tensor cores, each with launch shapes of its own; none of them changes a result.
enum MatMulWarpClass {
  /// Up to 16 and up to 64 rows, whose weights go straight to registers.
  static let rows = ["dense.few", "dense.some", "quantised.few", "quantised.some"]
  /// More rows: in tiles.
  static let tiles = ["dense.medium", "dense.large", "quantised.medium", "quantised.large"]

  /// The place in `rows`.
  ///
  /// - Parameter rowTiles: tiles of eight rows that a group takes.
  static func index(rowTiles: Int, _ format: WeightFormat) -> Int {
    (format.isQuantized ? 2 : 0) + (rowTiles <= 2 ? 0 : 1)
  }

  /// The place in `tiles`.
  ///
  /// - Parameter largeFrom: as for ``isLarge(rows:columns:largeFrom:)``.
  static func index(rows: Int, columns: Int, largeFrom: Int, _ format: WeightFormat) -> Int {
    (format.isQuantized ? 2 : 0) + (isLarge(rows: rows, columns: columns, largeFrom: largeFrom) ? 1 : 0)
  }

  /// - Parameter largeFrom: pieces of 256 rows by 128 columns from which on a result is large.
  static func isLarge(rows: Int, columns: Int, largeFrom: Int) -> Bool {
    ((columns + 127) / 128) * ((rows + 255) / 256) >= largeFrom
  }
}

/// The tiles of `matmul_mma` (matmul_mma.opencl).
struct MatMulWarpTiles: ResultTiles {
  let columns: Int
  let rows: Int
  let items: Int
  let localBytes: Int
  let options: KernelOptions

  init(_ tuned: KernelParameters) {
    columns = 64 * tuned["WARPS_N"]
    rows = tuned["WARP_ROWS"] * tuned["WARPS_X"]
    items = 32 * tuned["WARPS_N"] * tuned["WARPS_X"]
    localBytes = tuned["STAGES"] * (columns + rows) * 64
    options = tuned.options
  }
}

/// How `matmul_mma_rows` divides its columns.
struct MatMulWarpColumns {
  /// Sixteens of columns that a warp has.
  let columnTiles: Int
  /// Warps of a group where the chunks of k ask for no more.
  let warps: Int
  /// Spans of weights on their way.
  let ahead: Int

  init(_ tuned: KernelParameters) {
    columnTiles = tuned["COLUMN_TILES"]
    warps = tuned["WARPS"]
    ahead = tuned["AHEAD"]
  }
}

/// How the terms of a product's sums are cut into chunks: by the matrix alone, so that rows never matter.
struct MatMulWarpSplit: Sendable, Equatable {
  /// Terms of a chunk, a multiple of 32.
  let chunk: Int
  /// A power of two, at least the number of chunks.
  let splits: Int

  /// Enough chunks that few rows too give a large GPU about a thousand warps, each with 256 terms or more.
  init(columns: Int, terms: Int) {
    let wanted = min(8, 1024 * 16 / max(columns, 1), terms / 256)
    var splits = 1
    while splits * 2 <= wanted { splits *= 2 }
    self.splits = splits
    chunk = ((terms + splits - 1) / splits + 31) / 32 * 32
  }
}

/// Rows of x in 16 bits, as the tensor cores' kernels read them.
struct MatMulWarpOperand {
  let buffer: OpenCLBuffer
  /// In half precision instead of bfloat16.
  let half: Bool
}

/// Products on the tensor cores, for the GPU family where a warp's instructions exist.
extension OpenCLBackend {
  /// Whether products with this segment may round their operands to 16 bits and run on tensor cores.
  func usesWarps(_ matrix: OpenCLMatrix, _ segment: MatrixSegment) -> Bool {
    family == .gpu && features.warpInstructions != .none && !matrix.isExact && segment.format != .f32
  }

  /// The build options that choose between PTX and its emulation.
  var warpOptions: KernelOptions { features.warpInstructions == .emulated ? "-DWARP_EMULATED=1 " : "" }

  /// The tiles of eight rows that a kernel takes at once, nil where the one for many rows is to run.
  func rowTiles(_ rows: Int) -> Int? { [1, 2, 4, 8].first { rows <= 8 * $0 } }

  /// - Parameter part: the kernel's number in the file, so that the others are not built with it.
  private func warpKernel(
    _ name: StaticString, part: Int, _ format: WeightFormat, _ options: KernelOptions = ""
  ) throws -> OpenCLKernel {
    try library.kernel(.matmulMMA, name, warpOptions + format.options + "-DPART=\(part) " + options)
  }

  /// Rounds the rows to the operand that `segment` asks for.
  func warpOperand(_ input: FloatView, _ segment: MatrixSegment, rows: Int, width: Int) throws
    -> MatMulWarpOperand
  {
    let tiles = rowTiles(rows) ?? (rows + 7) / 8
    let spans = (width + 31) / 32
    let buffer = try context.makeBuffer(byteCount: tiles * spans * 512)
    let half = segment.format == .f16
    // One program converts for all formats of the same precision.
    let kernel = try warpKernel("matmul_operand", part: 1, half ? .f16 : .bf16)
    try context.launch(
      kernel,
      [
        .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
        .buffer("operand", buffer), .uint("rows", UInt32(rows)), .uint("K", UInt32(width)),
      ], global: (4 * spans, 8 * tiles, 1), local: nil, inParts: true)
    return MatMulWarpOperand(buffer: buffer, half: half)
  }

  func multiplyWarps(
    _ operand: MatMulWarpOperand, _ segment: MatrixSegment, rows: Int, width: Int, _ common: [KernelArgument]
  ) throws {
    let split = MatMulWarpSplit(columns: segment.columns, terms: width)
    let aligned = segment.format.isQuantized || (width % 8 == 0 && segment.rowBytes % 16 == 0)
    let alignment: KernelOptions = "-DALIGNED=\(aligned ? 1 : 0) "
    let arguments: [KernelArgument] = [
      .buffer("operand", operand.buffer), .buffer("weights", segment.buffer),
      .ulong("row_bytes", UInt64(segment.rowBytes)), .uint("chunk", UInt32(split.chunk)),
    ]
    if let rowTiles = rowTiles(rows) {
      let shape = tuned.warps.matmulColumns[MatMulWarpClass.index(rowTiles: rowTiles, segment.format)]
      // A group has all chunks of its columns.
      let warps = max(shape.warps, split.splits)
      let kernel = try warpKernel(
        "matmul_mma_rows", part: 3, segment.format,
        alignment + "-DAHEAD=\(shape.ahead) -DCOLUMN_TILES=\(shape.columnTiles) -DWARPS=\(warps) "
          + "-DROW_TILES=\(rowTiles) -DSPLITS=\(split.splits) ")
      let columns = 16 * shape.columnTiles * warps / split.splits
      let groups = (segment.columns + columns - 1) / columns
      try context.launch(
        kernel, arguments, and: common, global: (groups * 32 * warps, 1, 1), local: (32 * warps, 1, 1))
    } else {
      let tiles = tuned.warps.matmulTiles[
        MatMulWarpClass.index(
          rows: rows, columns: segment.columns, largeFrom: tuned.warps.matmulLargeFrom, segment.format)]
      let groups = tiles.groups(rows: rows, columns: segment.columns)
      try context.launch(
        try warpKernel("matmul_mma", part: 2, segment.format, alignment + tiles.options), arguments,
        and: common,
        global: (groups.across * groups.down * tiles.items, 1, 1), local: (tiles.items, 1, 1))
    }
  }
}
