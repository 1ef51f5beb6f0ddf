import Basics
import Kernels
import OpenCLRuntime
import Tensors

/// Launch shapes of the tensor-core products (matmul_mma.opencl); none of them changes a result.
struct MatMulWarpTiles: Sendable, Hashable {
  /// Warps side by side along the columns and along the rows, 64 of each a warp.
  var warpsN: Int
  var warpsX: Int
  /// Spans of k under way in local memory.
  var stages: Int
  /// Tiles of rows that share their columns' weights in the cache.
  var band = 8
  /// Columns of a warp in sixteens where there are up to 16 rows.
  var columnTilesOfFewRows = 1
  /// The same where there are up to 64.
  var columnTilesOfMoreRows = 2

  /// Both fill the 48 KiB of local memory. Large tiles ask less of the second-level cache.
  static let large = MatMulWarpTiles(warpsN: 2, warpsX: 4, stages: 2)
  static let small = MatMulWarpTiles(warpsN: 2, warpsX: 2, stages: 3)

  /// Large tiles where there are enough of them to keep a large GPU at work.
  static func choose(rows: Int, columns: Int) -> MatMulWarpTiles {
    large.groups(rows: rows, columns: columns) >= 128 ? large : small
  }

  func groups(rows: Int, columns: Int) -> Int {
    ((columns + self.columns - 1) / self.columns) * ((rows + self.rows - 1) / self.rows)
  }

  var columns: Int { 64 * warpsN }
  var rows: Int { 64 * warpsX }
  var items: Int { 32 * warpsN * warpsX }
  var options: KernelOptions { "-DWARPS_N=\(warpsN) -DWARPS_X=\(warpsX) -DSTAGES=\(stages) -DBAND=\(band) " }
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
  private func rowTiles(_ rows: Int) -> Int? { [1, 2, 4, 8].first { rows <= 8 * $0 } }

  private func warpKernel(_ name: StaticString, _ segment: MatrixSegment, _ options: KernelOptions) throws
    -> OpenCLKernel
  {
    try library.kernel(
      .matmulMMA, name,
      warpOptions + segment.format.options + options)
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
    let kernel = try library.kernel(
      .matmulMMA, "matmul_operand",
      warpOptions + (half ? WeightFormat.f16 : .bf16).options)
    try context.launch(
      kernel,
      [
        .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
        .buffer("operand", buffer), .uint("rows", UInt32(rows)), .uint("K", UInt32(width)),
      ], global: (4 * spans, 8 * tiles, 1), local: nil)
    return MatMulWarpOperand(buffer: buffer, half: half)
  }

  func multiplyWarps(
    _ operand: MatMulWarpOperand, _ segment: MatrixSegment, rows: Int, width: Int, _ common: [KernelArgument]
  ) throws {
    let tiles = MatMulWarpTiles.choose(rows: rows, columns: segment.columns)
    let split = MatMulWarpSplit(columns: segment.columns, terms: width)
    let aligned = segment.format.isQuantized || (width % 8 == 0 && segment.rowBytes % 16 == 0)
    let alignment: KernelOptions = "-DALIGNED=\(aligned ? 1 : 0) "
    let arguments: [KernelArgument] = [
      .buffer("operand", operand.buffer), .buffer("weights", segment.buffer),
      .ulong("row_bytes", UInt64(segment.rowBytes)), .uint("chunk", UInt32(split.chunk)),
    ]
    if let rowTiles = rowTiles(rows) {
      let columnTiles = rowTiles <= 2 ? tiles.columnTilesOfFewRows : tiles.columnTilesOfMoreRows
      let kernel = try warpKernel(
        "matmul_mma_rows", segment,
        alignment + "-DROW_TILES=\(rowTiles) -DCOLUMN_TILES=\(columnTiles) -DSPLITS=\(split.splits) ")
      let warps = max(4, split.splits)
      let columns = 16 * columnTiles * warps / split.splits
      let groups = (segment.columns + columns - 1) / columns
      try context.launch(
        kernel, arguments, and: common, global: (groups * 32 * warps, 1, 1), local: (32 * warps, 1, 1))
    } else {
      let groups = tiles.groups(rows: rows, columns: segment.columns)
      try context.launch(
        try warpKernel("matmul_mma", segment, alignment + tiles.options), arguments, and: common,
        global: (groups * tiles.items, 1, 1), local: (tiles.items, 1, 1))
    }
  }
}
