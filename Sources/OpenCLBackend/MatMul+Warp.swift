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

  private static func kind(_ format: WeightFormat) -> String { format.isQuantized ? "quantised" : "dense" }

  /// - Parameter rowTiles: tiles of eight rows that a group takes.
  static func of(rowTiles: Int, _ format: WeightFormat) -> String {
    kind(format) + (rowTiles <= 2 ? ".few" : ".some")
  }

  /// - Parameter largeFrom: pieces of 256 rows by 128 columns from which on a result is large.
  static func of(rows: Int, columns: Int, largeFrom: Int, _ format: WeightFormat) -> String {
    let pieces = ((columns + 127) / 128) * ((rows + 255) / 256)
    return kind(format) + (pieces >= largeFrom ? ".large" : ".medium")
  }
}

/// The tiles of `matmul_mma` (matmul_mma.opencl).
struct MatMulWarpTiles {
  private let tuned: KernelParameters

  init(_ tuned: KernelParameters) { self.tuned = tuned }

  var columns: Int { 64 * tuned["WARPS_N"] }
  var rows: Int { tuned["WARP_ROWS"] * tuned["WARPS_X"] }
  var items: Int { 32 * tuned["WARPS_N"] * tuned["WARPS_X"] }
  var localBytes: Int { tuned["STAGES"] * (columns + rows) * 64 }
  var options: String { tuned.options }

  func groups(rows: Int, columns: Int) -> Int {
    ((columns + self.columns - 1) / self.columns) * ((rows + self.rows - 1) / self.rows)
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
  var warpOptions: String { features.warpInstructions == .emulated ? "-DWARP_EMULATED=1 " : "" }

  /// The tiles of eight rows that a kernel takes at once, nil where the one for many rows is to run.
  private func rowTiles(_ rows: Int) -> Int? { [1, 2, 4, 8].first { rows <= 8 * $0 } }

  /// - Parameter part: the kernel's number in the file, so that the others are not built with it.
  private func warpKernel(_ name: String, part: Int, _ format: WeightFormat, _ options: String = "") throws
    -> OpenCLKernel
  {
    try library.kernel(
      [.blockFormats, .warp, .mmaWeights, .matmulMMA], name,
      warpOptions + format.options + "-DPART=\(part) " + options)
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
      ], global: (4 * spans, 8 * tiles, 1), local: nil)
    return MatMulWarpOperand(buffer: buffer, half: half)
  }

  func multiplyWarps(
    _ operand: MatMulWarpOperand, _ segment: MatrixSegment, rows: Int, width: Int, _ common: [KernelArgument]
  ) throws {
    let split = MatMulWarpSplit(columns: segment.columns, terms: width)
    let aligned = segment.format.isQuantized || (width % 8 == 0 && segment.rowBytes % 16 == 0)
    let alignment = "-DALIGNED=\(aligned ? 1 : 0) "
    let arguments: [KernelArgument] =
      [
        .buffer("operand", operand.buffer), .buffer("weights", segment.buffer),
        .ulong("row_bytes", UInt64(segment.rowBytes)),
      ] + common + [.uint("chunk", UInt32(split.chunk))]
    if let rowTiles = rowTiles(rows) {
      var tuned = tuning[.matmulWarpRows, MatMulWarpClass.of(rowTiles: rowTiles, segment.format)]
      // A group has all chunks of its columns.
      let warps = max(tuned["WARPS"], split.splits)
      tuned.values["WARPS"] = warps
      let kernel = try warpKernel(
        "matmul_mma_rows", part: 3, segment.format,
        alignment + tuned.options + "-DROW_TILES=\(rowTiles) -DSPLITS=\(split.splits) ")
      let columns = 16 * tuned["COLUMN_TILES"] * warps / split.splits
      let groups = (segment.columns + columns - 1) / columns
      try context.launch(kernel, arguments, global: (groups * 32 * warps, 1, 1), local: (32 * warps, 1, 1))
    } else {
      let shapeClass = MatMulWarpClass.of(
        rows: rows, columns: segment.columns, largeFrom: tuning[.matmulWarpChoice]["LARGE_FROM"],
        segment.format)
      let tiles = MatMulWarpTiles(tuning[.matmulWarp, shapeClass])
      let groups = tiles.groups(rows: rows, columns: segment.columns)
      try context.launch(
        try warpKernel("matmul_mma", part: 2, segment.format, alignment + tiles.options), arguments,
        global: (groups * tiles.items, 1, 1), local: (tiles.items, 1, 1))
    }
  }
}
