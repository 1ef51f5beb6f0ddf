import Basics
import OpenCLRuntime
import Tensors

/// Sums over rows and over whole tensors, in an order that the shapes alone decide.
extension OpenCLBackend {
  public func addColumnSums(_ x: Tensor, to sum: Tensor) throws {
    let operation = try ColumnSums(x.shape, to: sum.shape)
    let input = try FloatView(x)
    guard x.rows > 0, x.width > 0 else { return }
    let partial = try context.makeBuffer(byteCount: columnBlocks(x.rows) * x.width * 4)
    try launchColumns(
      try rowKernel(.columnSums, "column_sums", at: input.places, width: x.width),
      [
        .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
        .buffer("partial", partial), .uint("rows", UInt32(x.rows)), .uint("width", UInt32(x.width)),
      ], columnStrips(x.width), columnBlocks(x.rows))
    try addTotals(partial, parts: 1, rows: x.rows, to: [sum])
    try record(operation)
  }

  public func scatterAddRows(_ g: Tensor, _ indices: [Int32], to sum: Tensor) throws {
    let operation = try ScatterAddRows(g.shape, indices: indices, to: sum.shape)
    let (source, target) = (try FloatView(g), try FloatView(sum))
    guard !indices.isEmpty, g.width > 0 else { return }
    // Rows that go to one place stand together, in their order: no two items write one element.
    let order = indices.indices.sorted { (indices[$0], $0) < (indices[$1], $1) }
    var (rows, starts) = ([Int32](), [Int32]())
    for (place, index) in order.enumerated() where rows.last != indices[index] {
      rows.append(indices[index])
      starts.append(Int32(place))
    }
    starts.append(Int32(order.count))
    try launchColumns(
      try rowKernel(
        .scatterAddRows, "scatter_add_rows", at: source.places | target.places, width: g.width),
      [
        .buffer("g", source.buffer), .uint("g_offset", source.offset), .uint("g_stride", source.stride),
        .buffer("rows", try makeBuffer(rows)), .buffer("starts", try makeBuffer(starts)),
        .buffer("order", try makeBuffer(order.map(Int32.init))), .buffer("sum", target.buffer),
        .uint("sum_offset", target.offset), .uint("sum_stride", target.stride),
        .uint("width", UInt32(g.width)),
      ], strips(g.width), rows.count)
    try record(operation)
  }

  public func sumOfSquares(_ tensors: [Tensor]) throws -> Double {
    let parts = try tensors.map { (view: try FloatView(packed($0)), count: $0.shape.count) }
    // The kernel's BLOCK.
    let block = 4096
    let blocks = parts.map { ($0.count + block - 1) / block }
    let total = blocks.reduce(0, +)
    guard total > 0 else { return 0 }
    let partial = try context.makeBuffer(byteCount: total * 4)
    var first = 0
    for (part, count) in zip(parts, blocks) {
      try launchGroups(
        try rowKernel(.sumOfSquares, "sum_of_squares", at: part.view.offset, width: part.count),
        [
          .buffer("x", part.view.buffer), .uint("x_offset", part.view.offset),
          .uint("count", UInt32(part.count)), .buffer("partial", partial), .uint("first", UInt32(first)),
        ], count, 1)
      first += count
    }
    return try readFloats(partial, count: total).reduce(0) { $0 + Double($1) }
  }

  // MARK: Helpers

  /// Items that a row of vectors takes.
  func strips(_ width: Int) -> Int { (width + rowOptions.vector - 1) / rowOptions.vector }

  /// Blocks of rows that are summed apart: the kernels' BLOCK_ROWS.
  func columnBlocks(_ rows: Int) -> Int { (rows + 63) / 64 }

  /// Items that a row takes in the kernels that go through a block's rows: the kernels' STRIP.
  func columnStrips(_ width: Int) -> Int { family == .cpu ? (strips(width) + 7) / 8 : strips(width) }

  /// Adds the first of the blocks' sums `[blocks, parts, width]` to one to three vectors.
  func addTotals(_ partial: OpenCLBuffer, parts: Int, rows: Int, to sums: [Tensor]) throws {
    let targets = try sums.map { try FloatView($0) }
    // A buffer must be passed where there are fewer sums too; the kernel does not write it.
    let (second, third) = (targets.count > 1 ? targets[1] : targets[0], targets[targets.count - 1])
    let width = sums[0].width
    try launchColumns(
      try rowKernel(
        .columnSums, "column_totals", at: targets.reduce(0) { $0 | $1.offset }, width: width),
      [
        .buffer("partial", partial), .uint("parts", UInt32(parts)),
        .uint("blocks", UInt32(columnBlocks(rows))),
        .buffer("first", targets[0].buffer), .uint("first_offset", targets[0].offset),
        .buffer("second", second.buffer), .uint("second_offset", second.offset),
        .buffer("third", third.buffer), .uint("third_offset", third.offset), .uint("width", UInt32(width)),
      ], strips(width), sums.count)
  }

  /// The tensor, where its rows lie end to end and their elements can be counted in 32 bits.
  func packed(_ tensor: Tensor) throws -> Tensor {
    guard tensor.rows <= 1 || tensor.rowStride == tensor.width,
      UInt32(exactly: tensor.offset + tensor.shape.count) != nil
    else {
      throw RetortError(
        .shapeMismatch, "a view of shape \(tensor.shape) with rows \(tensor.rowStride) apart",
        remedy: "Give a tensor whose rows lie end to end.")
    }
    return tensor
  }
}
