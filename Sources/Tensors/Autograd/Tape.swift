import Basics

/// Records operations as they run, and goes back over them to find gradients (reverse-mode differentiation).
///
/// Every operation's method stands beside its description in Operations/: it runs the forward operation and records
/// how a gradient passes through it. A tape serves one pass, on one thread.
public final class Tape {
  public let backend: any TrainingBackend
  /// What products round their operands to: `.f32` for none, or `.bf16`.
  public let precision: DType
  /// Whether anything is recorded; without, a pass keeps no more memory than inference.
  public let isRecording: Bool
  private var records: [() throws -> Void] = []

  public init(_ backend: any TrainingBackend, precision: DType = .f32, isRecording: Bool = true) {
    self.backend = backend
    self.precision = precision
    self.isRecording = isRecording
  }

  /// A value that no gradient is wanted for.
  public func constant(_ value: Tensor) -> Variable { Variable(value, needsGradient: false) }

  /// A value whose gradient is wanted, to be read from the variable after ``backward(_:)``.
  public func input(_ value: Tensor) -> Variable { Variable(value, needsGradient: true) }

  /// A parameter, whose gradient the backward pass adds to.
  public func parameter(_ parameter: Parameter) -> Variable {
    Variable(parameter.value, needsGradient: true, sum: parameter.gradient)
  }

  /// Rows of a parameter (elements of a vector), whose gradient the backward pass adds to.
  ///
  /// - Throws: `shapeMismatch` for rows that it does not have.
  public func parameter(_ parameter: Parameter, rows: Range<Int>) throws -> Variable {
    func part(_ tensor: Tensor) throws -> Tensor {
      try tensor.shape.rank == 2 ? tensor.rows(rows) : tensor.columns(rows)
    }
    return Variable(try part(parameter.value), needsGradient: true, sum: try part(parameter.gradient))
  }

  /// Puts an operation's result on the tape; `backward` gets the result's gradient and hands on those of the inputs.
  func record(_ value: Tensor, from inputs: [Variable?], _ backward: @escaping (Tensor) throws -> Void)
    -> Variable
  {
    let result = Variable(
      value, needsGradient: isRecording && inputs.contains { $0?.needsGradient == true })
    if result.needsGradient {
      records.append {
        guard let gradient = result.gradient else { return }
        // Its readers have all been visited: the memory goes back to the pool with the last reference.
        result.gradient = nil
        try backward(gradient)
      }
    }
    return result
  }

  /// Adds a gradient to what a variable has gathered.
  ///
  /// - Parameter isOwn: whether nothing else reads the gradient's tensor, so that more may be added to it in place.
  func add(_ gradient: Tensor, to variable: Variable, isOwn: Bool = false) throws {
    guard variable.needsGradient else { return }
    if let sum = variable.sum {
      if gradient.rows <= 1 || gradient.rowStride == gradient.width {
        try backend.scatterAddRows(flat(gradient), [0], to: flat(sum))
      } else {
        // Columns of a wider tensor.
        try backend.scatterAddRows(gradient, (0..<Int32(gradient.rows)).map { $0 }, to: sum)
      }
    } else if let gathered = variable.gradient {
      // A new tensor: what was gathered may also be another variable's.
      variable.gradient = try added(gathered, gradient)
      variable.ownsGradient = true
    } else {
      variable.gradient = gradient
      variable.ownsGradient = isOwn
    }
  }

  /// Where an operation may add a variable's gradient in place: a parameter's own, else a cleared tensor that is
  /// handed to ``add(_:to:)`` afterwards by ``settle(_:to:)``.
  func sum(for variable: Variable) throws -> Tensor {
    if let sum = variable.sum { return sum }
    let cleared = try backend.allocate(variable.value.shape, .f32)
    try backend.zero(cleared)
    return cleared
  }

  /// Completes ``sum(for:)``.
  func settle(_ sum: Tensor, to variable: Variable) throws {
    if variable.sum == nil { try add(sum, to: variable) }
  }

  /// Passes the gradients of results back to everything that they were computed from; the tape is empty afterwards.
  ///
  /// - Throws: what the backend throws; gradients of parameters are then incomplete.
  public func backward(_ seeds: [(result: Variable, gradient: Tensor)]) throws {
    for (result, gradient) in seeds { try add(gradient, to: result) }
    while let last = records.popLast() { try last() }
  }

  /// The same elements as rows of `width`; the value's rows must lie end to end.
  ///
  /// - Throws: `shapeMismatch` where they do not, or do not fill whole rows.
  public func reshape(_ x: Variable, width: Int) throws -> Variable {
    func reshaped(_ tensor: Tensor, _ width: Int) throws -> Tensor {
      guard width > 0, tensor.shape.count % width == 0, tensor.rows <= 1 || tensor.rowStride == tensor.width
      else {
        throw RetortError(
          .shapeMismatch, "\(tensor.shape) as rows of \(width)", remedy: "Give a packed tensor of whole rows."
        )
      }
      return Tensor(
        shape: [tensor.shape.count / width, width], dtype: tensor.dtype, buffer: tensor.buffer,
        offset: tensor.offset)
    }
    return record(try reshaped(x.value, width), from: [x]) { [self] g in try add(reshaped(g, x.width), to: x)
    }
  }

  /// The sum of two matrices or two vectors.
  private func added(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    guard a.shape.rank == 1 else { return try backend.add(a, b) }
    let row = try backend.add(flat(a), flat(b))
    return Tensor(shape: a.shape, dtype: row.dtype, buffer: row.buffer, offset: row.offset)
  }

  /// All elements as one row.
  private func flat(_ tensor: Tensor) -> Tensor {
    Tensor(
      shape: [1, tensor.shape.count], dtype: tensor.dtype, buffer: tensor.buffer, offset: tensor.offset)
  }
}
