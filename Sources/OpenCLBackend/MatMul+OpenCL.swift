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
    let codes = matrix.isInt8 ? try int8Operand(input, matrix, rows: rows) : nil
    let packed =
      family == .cpu && rows > 1 && codes == nil
      ? try packRows(input, rows: rows, width: operation.inputWidth) : nil
    var operand: MatMulWarpOperand?
    for segment in matrix.segments {
      // A buffer must be passed where there is no bias too; the kernel does not read it.
      var common: [KernelArgument] = [
        .buffer("bias", bias?.buffer ?? input.buffer),
        .uint("bias_offset", (bias?.offset ?? 0) + UInt32(segment.firstColumn)),
        .int("has_bias", bias == nil ? 0 : 1), .buffer("y", output.buffer),
        .uint("y_offset", UInt32(segment.firstColumn)), .uint("K", UInt32(matrix.inputWidth)),
        .uint("N", UInt32(segment.columns)),
      ]
      // All but the CPU family's kernels of one row.
      if family == .gpu || rows > 1 {
        common += [.uint("y_stride", output.stride), .uint("rows", UInt32(rows))]
      }
      if let codes {
        try multiplyInt8(codes, segment, rows: rows, width: operation.inputWidth, common)
      } else if usesWarps(matrix, segment) {
        if operand == nil || operand?.half != (segment.format == .f16) {
          operand = try warpOperand(input, segment, rows: rows, width: operation.inputWidth)
        }
        guard let operand else { continue }
        try multiplyWarps(operand, segment, rows: rows, width: operation.inputWidth, common)
      } else if family == .gpu {
        try multiplyStored(input, segment, rows: rows, common)
      } else if let packed {
        try multiplyTiles(packed, segment, rows: rows, common)
      } else {
        try multiplyRow(input, segment, common)
      }
    }
    try record(operation)
    return y
  }

  func foreign(_ what: String) -> RetortError {
    RetortError(
      .invalidArgument, "a \(what) of another backend", remedy: "Load the model on the backend that runs it.")
  }
}
