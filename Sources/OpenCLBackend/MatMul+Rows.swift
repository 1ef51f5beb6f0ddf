import Basics
import OpenCLRuntime
import Tensors

/// Products with stored rows, for the GPU family.
extension OpenCLBackend {
  func multiplyStored(
    _ input: FloatView, _ segment: MatrixSegment, rows: Int, _ common: [KernelArgument]
  ) throws {
    let tiled = rows > 8
    let tuned = tuned.matmulColumns
    let kernel = try library.kernel(
      .matmulTiled, tiled ? "matmul_tiled" : "matmul_columns",
      tuned.options[segment.format.rawValue])
    let arguments: [KernelArgument] = [
      .buffer("x", input.buffer), .uint("x_offset", input.offset), .uint("x_stride", input.stride),
      .buffer("weights", segment.buffer), .ulong("row_bytes", UInt64(segment.rowBytes)),
    ]
    if tiled {
      try context.launch(
        kernel, arguments, and: common,
        global: ((segment.columns + 63) / 64 * 16, (rows + 63) / 64 * 16, 1), local: (16, 16, 1))
    } else {
      let (columns, chunks) = (tuned.columns, tuned.chunks)
      try context.launch(
        kernel, arguments, and: common,
        global: (chunks, (segment.columns + columns - 1) / columns * columns, rows),
        local: (chunks, columns, 1), inParts: true)
    }
  }
}
