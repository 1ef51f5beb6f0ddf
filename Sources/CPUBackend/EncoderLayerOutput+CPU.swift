import Basics
import CKernels
import Tensors

extension CPUBackend {
  /// In int8 a task takes a few rows through the whole operation, so that what lies between the products stays in
  /// its core's own cache and the threads meet once instead of eight times; other modes take the single operations.
  public func encoderLayerOutput(_ hidden: Tensor, attended: Tensor, _ weights: EncoderLayerOutput.Weights)
    throws -> Tensor
  {
    guard weights.activation == .exact, let output = int8(weights.attentionOutput), let up = int8(weights.up),
      let down = int8(weights.down)
    else { return try plainEncoderLayerOutput(hidden, attended: attended, weights) }
    let operation = try EncoderLayerOutput(hidden: hidden.shape, attended: attended.shape, weights)
    let y = try allocate(operation.outputShape, .f32)
    let work = EncoderRows(
      hidden: try floats(hidden), hiddenStride: hidden.rowStride, attended: try floats(attended),
      attendedStride: attended.rowStride, result: try floats(y), width: operation.width,
      inner: operation.inner,
      output: try Int8Product(output, weights.attentionOutput, self),
      up: try Int8Product(up, weights.up, self), down: try Int8Product(down, weights.down, self),
      attentionNorm: (try floats(weights.attentionNorm.weight), try floats(weights.attentionNorm.bias)),
      outputNorm: (try floats(weights.outputNorm.weight), try floats(weights.outputNorm.bias)),
      epsilon: weights.epsilon)
    let block = rowBlock(operation.rows)
    let bytes = work.scratchBytes(block)
    let memory = try scratch(bytes * pool.threads)
    measured(operation) {
      pool.run((operation.rows + block - 1) / block) { task, thread in
        let rows = task * block..<min(operation.rows, (task + 1) * block)
        work.run(rows, memory + thread * bytes)
      }
    }
    return y
  }

  /// Rows of a task: some tasks a thread, whole tiles of the int8 product, and few enough for a core's cache.
  func rowBlock(_ rows: Int) -> Int {
    let share = (rows + pool.threads * 4 - 1) / (pool.threads * 4)
    return min(64, max(8, (share + 7) / 8 * 8))
  }

  private func int8(_ product: EncoderLayerOutput.Product) -> PanelMatrix? {
    (product.weight as? CPUMatrix)?.int8Panels
  }
}

/// An int8 product of all its panels by one task.
struct Int8Product: @unchecked Sendable {
  let matrix: PanelMatrix
  let bias: UnsafeMutablePointer<Float>?

  init(_ matrix: PanelMatrix, _ product: EncoderLayerOutput.Product, _ backend: CPUBackend) throws {
    self.matrix = matrix
    bias = try product.bias.map(backend.floats)
  }

  /// `rows` packed rows of quantised activations to rows of floats, `stride` apart.
  func multiply(_ activations: UnsafeRawPointer, rows: Int, _ y: UnsafeMutablePointer<Float>, stride: Int) {
    matrix.multiply(
      0..<matrix.panelCount, activations, rest: nil, rows: rows, bias: bias, y, stride: stride)
  }

  func quantize(_ x: UnsafePointer<Float>, stride: Int, rows: Int, _ target: UnsafeMutableRawPointer) {
    for row in 0..<rows { matrix.quantize(x + row * stride, row: row, of: rows, target, rest: nil) }
  }
}

/// What a task of the fused operation works on.
private struct EncoderRows: @unchecked Sendable {
  typealias Vectors = (weight: UnsafeMutablePointer<Float>, bias: UnsafeMutablePointer<Float>)

  let hidden: UnsafeMutablePointer<Float>
  let hiddenStride: Int
  let attended: UnsafeMutablePointer<Float>
  let attendedStride: Int
  let result: UnsafeMutablePointer<Float>
  let width: Int
  let inner: Int
  let output: Int8Product
  let up: Int8Product
  let down: Int8Product
  let attentionNorm: Vectors
  let outputNorm: Vectors
  let epsilon: Float

  private static func aligned(_ bytes: Int) -> Int { (bytes + 63) / 64 * 64 }

  private func activationBytes(_ rows: Int) -> Int {
    let widest = max(
      output.matrix.activationBytes, max(up.matrix.activationBytes, down.matrix.activationBytes))
    return EncoderRows.aligned(rows * widest)
  }

  func scratchBytes(_ rows: Int) -> Int {
    activationBytes(rows) + 2 * EncoderRows.aligned(rows * width * 4)
      + EncoderRows.aligned(rows * inner * 4)
  }

  func run(_ range: Range<Int>, _ memory: UnsafeMutableRawPointer) {
    let (rows, first) = (range.count, range.lowerBound)
    let product = (memory + activationBytes(rows)).assumingMemoryBound(to: Float.self)
    let middle = product + EncoderRows.aligned(rows * width * 4) / 4
    let wide = middle + EncoderRows.aligned(rows * width * 4) / 4
    output.quantize(attended + first * attendedStride, stride: attendedStride, rows: rows, memory)
    output.multiply(memory, rows: rows, product, stride: width)
    for row in 0..<rows {
      rk_add_layer_norm(
        hidden + (first + row) * hiddenStride, product + row * width, attentionNorm.weight,
        attentionNorm.bias, middle + row * width, Int32(width), epsilon)
    }
    up.quantize(middle, stride: width, rows: rows, memory)
    up.multiply(memory, rows: rows, wide, stride: inner)
    for row in 0..<rows {
      rk_gelu_quick(wide + row * inner, Int32(inner))
      down.matrix.quantize(wide + row * inner, row: row, of: rows, memory, rest: nil)
    }
    down.multiply(memory, rows: rows, product, stride: width)
    for row in 0..<rows {
      rk_add_layer_norm(
        middle + row * width, product + row * width, outputNorm.weight, outputNorm.bias,
        result + (first + row) * width, Int32(width), epsilon)
    }
  }
}
