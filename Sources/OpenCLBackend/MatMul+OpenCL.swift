import Basics
import OpenCLRuntime
import Tensors

extension OpenCLBackend {
  public func matmul(_ x: Tensor, _ weight: any MatrixWeight, bias: Tensor?) throws -> Tensor {
    let operation = try MatMul(x: x.shape, weight: weight, bias: bias?.shape)
    guard let matrix = weight as? OpenCLMatrix else { throw foreign("matrix") }
    let input = try FloatView(x)
    let y = try allocate(operation.outputShape, .f32)
    let output = try FloatView(y)
    let bias = try bias.map { try FloatView($0) }
    let rows = operation.rows
    guard rows > 0 else { return y }
    let packed =
      family == .cpu && rows > 8 ? try packRows(input, rows: rows, width: operation.inputWidth) : nil
    for segment in matrix.segments {
      // A buffer must be passed where there is no bias too; the kernel does not read it.
      let common: [KernelArgument] = [
        .buffer("bias", bias?.buffer ?? input.buffer),
        .uint("bias_offset", (bias?.offset ?? 0) + UInt32(segment.firstColumn)),
        .int("has_bias", bias == nil ? 0 : 1), .buffer("y", output.buffer),
        .uint("y_offset", UInt32(segment.firstColumn)), .uint("y_stride", output.stride),
        .uint("rows", UInt32(rows)), .uint("K", UInt32(matrix.inputWidth)),
        .uint("N", UInt32(segment.columns)),
      ]
      if family == .gpu {
        try multiplyStored(input, segment, rows: rows, common)
      } else if let packed {
        try multiplyTiles(packed, segment, rows: rows, common)
      } else {
        try multiplyRows(input, segment, rows: rows, common)
      }
    }
    try record(operation)
    return y
  }

  func foreign(_ what: String) -> RetortError {
    RetortError(
      .invalidArgument, "a \(what) of another backend", remedy: "Load the model on the backend that runs it.")
  }

  private func packRows(_ input: FloatView, rows: Int, width: Int) throws -> OpenCLBuffer {
    let tiles = (rows + 11) / 12
    let packed = try context.makeBuffer(byteCount: tiles * 12 * width * 4)
    let kernel = try library.kernel(
      [.blockFormats, .lanes, .panelFormats, .matmulPanels], "pack_rows", WeightFormat.f32.options)
    try launchItems(
      kernel,
      [
        .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
        .buffer("packed", packed), .uint("rows", UInt32(rows)), .uint("K", UInt32(width)),
      ], tiles, (width + 63) / 64)
    return packed
  }

  private func multiplyRows(
    _ input: FloatView, _ segment: MatrixSegment, rows: Int, _ common: [KernelArgument]
  )
    throws
  {
    let variant = rows == 1 ? 1 : rows <= 4 ? 4 : 8
    let kernel = try library.kernel(
      [.blockFormats, .lanes, .panelFormats, .matmulPanels], "matmul_rows",
      segment.format.options + "-DROWS=\(variant) ")
    let arguments: [KernelArgument] = [
      .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
      .buffer("panels", segment.buffer),
    ]
    try launchItems(kernel, arguments + common, (segment.columns + 31) / 32)
  }

  private func multiplyTiles(
    _ packed: OpenCLBuffer, _ segment: MatrixSegment, rows: Int, _ common: [KernelArgument]
  ) throws {
    let kernel = try library.kernel(
      [.blockFormats, .lanes, .panelFormats, .matmulPanels], "matmul_tile", segment.format.options)
    let panels = (segment.columns + 31) / 32
    let tiles = (rows + 11) / 12
    // Few panels leave cores idle unless the rows are shared out too.
    let wanted = max(1, 4 * device.computeUnits / panels)
    let blockTiles = max(1, min(16, (tiles + wanted - 1) / wanted))
    let arguments: [KernelArgument] = [.buffer("packed", packed), .buffer("panels", segment.buffer)]
    try launchItems(
      kernel, arguments + common + [.uint("block_tiles", UInt32(blockTiles))], panels,
      (tiles + blockTiles - 1) / blockTiles)
  }

  private func multiplyStored(
    _ input: FloatView, _ segment: MatrixSegment, rows: Int, _ common: [KernelArgument]
  ) throws {
    let tiled = rows > 8
    let kernel = try library.kernel(
      [.blockFormats, .matmulTiled], tiled ? "matmul_tiled" : "matmul_columns", segment.format.options)
    let arguments: [KernelArgument] =
      [
        .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
        .buffer("weights", segment.buffer), .ulong("row_bytes", UInt64(segment.rowBytes)),
      ] + common
    if tiled {
      try context.launch(
        kernel, arguments,
        global: ((segment.columns + 63) / 64 * 16, (rows + 63) / 64 * 16, 1), local: (16, 16, 1))
    } else {
      try context.launch(
        kernel, arguments, global: (8, (segment.columns + 7) / 8 * 8, rows), local: (8, 8, 1))
    }
  }
}
