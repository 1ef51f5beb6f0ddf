import Basics
import CKernels
import Tensors

/// A matrix as the CPU multiplies it: panels of codes, a oneDNN matrix, dense panels, or several side by side.
final class CPUMatrix: MatrixWeight, Sendable {
  enum Part: Sendable {
    case panels(PanelMatrix, column: Int)
    case dense(DenseMatrix, column: Int)
    case densePanels(DensePanelMatrix, column: Int)

    var isPanels: Bool {
      if case .panels = self { return true }
      return false
    }
  }

  let inputWidth: Int
  let outputWidth: Int
  let byteCount: Int
  let parts: [Part]
  /// Whether any part takes its activations at 15 bits.
  let isPaired: Bool
  typealias PanelTask = (part: Int, panels: Range<Int>)
  /// Tasks of all parts in panels, for a few rows and for many.
  private let fewRowsTasks: [PanelTask]
  private let manyRowsTasks: [PanelTask]

  init(inputWidth: Int, outputWidth: Int, byteCount: Int, parts: [Part], threads: Int) {
    self.inputWidth = inputWidth
    self.outputWidth = outputWidth
    self.byteCount = byteCount
    self.parts = parts
    func tasks(perThread: Int) -> [PanelTask] {
      parts.enumerated().flatMap { index, part -> [PanelTask] in
        guard case .panels(let matrix, _) = part else { return [] }
        return matrix.tasks(perThread: perThread, threads: threads).map { (index, $0) }
      }
    }
    fewRowsTasks = tasks(perThread: 2)
    manyRowsTasks = tasks(perThread: 8)
    isPaired = parts.contains {
      if case .panels(let part, _) = $0 { return part.isPaired }
      return false
    }
  }

  /// Fewer rows than this are shared out by panels.
  static let blockedRows = 64
  private static let cachedBytes = 1 << 20

  /// Whether all of the matrix is int8 with activations of 8 bits, and a core's own cache holds it.
  var fitsCache: Bool {
    byteCount <= CPUMatrix.cachedBytes && !isPaired
      && parts.allSatisfy {
        if case .panels(let matrix, _) = $0 { return matrix.isInt8 }
        return false
      }
  }

  /// The matrix's panels where all of it is one int8 part with activations of 8 bits.
  var int8Panels: PanelMatrix? {
    guard parts.count == 1, case .panels(let matrix, 0)? = parts.first, matrix.isInt8, !matrix.isPaired else {
      return nil
    }
    return matrix
  }

  /// The tasks of the parts in panels for a number of rows.
  func panelTasks(rows: Int) -> [PanelTask] { rows <= 4 ? fewRowsTasks : manyRowsTasks }
}

extension CPUBackend {
  public func loadMatrix(_ sources: [WeightSource], compute: ComputeMode) throws -> any MatrixWeight {
    let checked = try sources.map(CheckedSource.init)
    guard let first = checked.first else {
      throw RetortError(.shapeMismatch, "a matrix of no parts", remedy: "This is a model error; report it.")
    }
    for part in checked where part.width != first.width {
      throw CheckedSource.error(part.source, "input width \(part.width) beside \(first.width)")
    }
    let outputWidth = checked.reduce(0) { $0 + $1.rows }
    // Elsewhere bfloat16 is widened as it is read, which halves what decode reads.
    let narrow = rk_has_avx512_vnni() == 0 || rk_has_avx512_bf16() != 0
    if compute != .lean, compute != .int8 {
      let (part, bytes) = try densePart(checked, narrow: compute != .f32 && narrow, column: 0)
      return CPUMatrix(
        inputWidth: first.width, outputWidth: outputWidth, byteCount: bytes, parts: [part],
        threads: pool.threads)
    }
    var parts: [CPUMatrix.Part] = []
    var column = 0
    var bytes = 0
    for part in checked {
      if compute == .int8 || part.source.dtype.isQuantized {
        let matrix = try PanelMatrix(part, int8: compute == .int8, pool: pool)
        parts.append(.panels(matrix, column: column))
        bytes += matrix.panels.byteCount
      } else {
        let (dense, denseBytes) = try densePart([part], narrow: narrow, column: column)
        parts.append(dense)
        bytes += denseBytes
      }
      column += part.rows
    }
    return CPUMatrix(
      inputWidth: first.width, outputWidth: outputWidth, byteCount: bytes, parts: parts,
      threads: pool.threads)
  }

  /// Unquantised weights as this processor multiplies them, and their bytes.
  private func densePart(_ sources: [CheckedSource], narrow: Bool, column: Int) throws -> (
    CPUMatrix.Part, Int
  ) {
    guard rk_has_avx512_vnni() != 0 else {
      let matrix = try DensePanelMatrix(sources, narrow: narrow, pool: pool)
      return (.densePanels(matrix, column: column), matrix.panels.byteCount)
    }
    let matrix = try DenseMatrix(sources, narrow: narrow, backend: dense, pool: pool)
    return (.dense(matrix, column: column), matrix.byteCount)
  }

  public func matmul(_ x: Tensor, _ weight: any MatrixWeight, bias: Tensor?) throws -> Tensor {
    guard let matrix = weight as? CPUMatrix else { throw CPUBackend.foreign("a matrix") }
    let operation = try MatMul(x: x.shape, weight: weight, bias: bias?.shape)
    let y = try allocate(operation.outputShape, .f32)
    let biasValues = try bias.map(floats)
    try measured(operation) {
      if matrix.parts.contains(where: \.isPanels) { try runPanels(matrix, x, biasValues, y) }
      for part in matrix.parts {
        switch part {
        case .panels: continue
        case .dense(let part, let column):
          try runDense(part, column: column, x, biasValues.map { $0 + column }, y)
        case .densePanels(let part, let column):
          try part.multiply(
            rows: x.rows, floats(x), stride: x.rowStride, bias: biasValues.map { $0 + column },
            floats(y) + column, targetStride: y.rowStride, pool: pool)
        }
      }
    }
    return y
  }

  private func runPanels(_ matrix: CPUMatrix, _ x: Tensor, _ bias: UnsafeMutablePointer<Float>?, _ y: Tensor)
    throws
  {
    let source = try floats(x)
    let target = try floats(y)
    let rows = x.rows
    guard case .panels(let format, _) = matrix.parts.first(where: \.isPanels) else { return }
    if matrix.fitsCache, rows >= CPUMatrix.blockedRows {
      return try runRowBlocks(matrix, format, x, bias, y)
    }
    let bytes = rows * format.activationBytes
    let activations = try scratch(bytes * (matrix.isPaired ? 2 : 1))
    let rest = matrix.isPaired ? activations + bytes : nil
    pool.forRanges(rows, minimum: 8) { range in
      for row in range {
        format.quantize(source + row * x.rowStride, row: row, of: rows, activations, rest: rest)
      }
    }
    let tasks = matrix.panelTasks(rows: rows)
    pool.run(tasks.count) { index, _ in
      let task = tasks[index]
      guard case .panels(let part, let column) = matrix.parts[task.part] else { return }
      part.multiply(
        task.panels, activations, rest: rest, rows: rows, bias: bias.map { $0 + column }, target + column,
        stride: y.rowStride)
    }
  }

  /// A small int8 matrix and many rows: a task takes a few rows from their quantisation to the end, which keeps
  /// them in its core's cache and makes the threads meet once. The bits are those of tasks by panels.
  private func runRowBlocks(
    _ matrix: CPUMatrix, _ format: PanelMatrix, _ x: Tensor, _ bias: UnsafeMutablePointer<Float>?, _ y: Tensor
  ) throws {
    let (source, target) = (try floats(x), try floats(y))
    let block = rowBlock(x.rows)
    let bytes = (block * format.activationBytes + 63) / 64 * 64
    let memory = try scratch(bytes * pool.threads)
    pool.run((x.rows + block - 1) / block) { task, thread in
      let first = task * block
      let rows = min(x.rows - first, block)
      let activations = memory + thread * bytes
      for row in 0..<rows {
        format.quantize(
          source + (first + row) * x.rowStride, row: row, of: rows, activations, rest: nil)
      }
      for case .panels(let part, let column) in matrix.parts {
        part.multiply(
          0..<part.panelCount, activations, rest: nil, rows: rows, bias: bias.map { $0 + column },
          target + first * y.rowStride + column, stride: y.rowStride)
      }
    }
  }

  private func runDense(
    _ matrix: DenseMatrix, column: Int, _ x: Tensor, _ bias: UnsafeMutablePointer<Float>?, _ y: Tensor
  ) throws {
    let source = try floats(x)
    let target = try floats(y)
    for start in stride(from: 0, to: x.rows, by: DenseKernels.maximumRows) {
      let rows = min(DenseKernels.maximumRows, x.rows - start)
      try runChunk(
        matrix, rows: rows, source + start * x.rowStride, stride: x.rowStride, bias,
        target + start * y.rowStride + column, targetStride: y.rowStride)
    }
  }

  /// At most ``DenseKernels/maximumRows`` rows: pad to the bucket, narrow, multiply slice by slice.
  private func runChunk(
    _ matrix: DenseMatrix, rows: Int, _ source: UnsafeMutablePointer<Float>, stride: Int,
    _ bias: UnsafeMutablePointer<Float>?, _ target: UnsafeMutablePointer<Float>, targetStride: Int
  ) throws {
    let width = matrix.inputWidth
    let padded = DenseKernels.bucket(rows)
    let elementBytes = matrix.narrow ? 2 : 4
    let direct = !matrix.narrow && stride == width && padded == rows
    // oneDNN's fast products write dense rows only: slices of wider or padded results go by way of scratch.
    let staged = padded != rows || matrix.slices.count > 1 || targetStride != matrix.outputWidth
    let outputBytes = staged ? padded * matrix.outputWidth * 4 : 0
    let inputBytes = (padded * width * elementBytes + 63) / 64 * 64
    let memory = try scratch(inputBytes + outputBytes)
    let input = direct ? UnsafeMutableRawPointer(source) : memory
    if !direct {
      pool.forRanges(rows, minimum: 4) { range in
        for row in range {
          let to = memory + row * width * elementBytes
          if matrix.narrow {
            rk_f32_to_bf16(source + row * stride, to.assumingMemoryBound(to: UInt16.self), width)
          } else {
            to.copyMemory(from: source + row * stride, byteCount: width * 4)
          }
        }
      }
      (memory + rows * width * elementBytes).initializeMemory(
        as: UInt8.self, repeating: 0, count: (padded - rows) * width * elementBytes)
    }
    let staging = (memory + inputBytes).assumingMemoryBound(to: Float.self)
    let kernels = try matrix.slices.map {
      try dense.kernel(
        .init(
          rows: padded, inputWidth: width, outputWidth: $0.columns.count,
          narrow: matrix.narrow, bias: bias != nil))
    }
    let failures = FailureFlag()
    pool.run(matrix.slices.count) { index, thread in
      let slice = matrix.slices[index]
      let first = slice.columns.lowerBound
      let width = slice.columns.count
      let output = staged ? staging + padded * first : target
      let succeeded = kernels[index].run(
        thread: thread, source: input, weights: slice.memory.base, bias: bias.map { $0 + first },
        target: output)
      if !succeeded { failures.raise() }
      guard staged else { return }
      for row in 0..<rows {
        (target + row * targetStride + first).update(from: output + row * width, count: width)
      }
    }
    if failures.isRaised { throw DenseKernels.failure("multiply", dnnlRuntimeError) }
  }
}
