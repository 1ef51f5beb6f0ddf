import Basics
import Tensors

/// A backend that computes everything with ``Reference``: it shows that the operation tests pass for numbers
/// that are right, and it follows the protocol's words where an implementation is in doubt.
public final class ReferenceBackend: Backend, @unchecked Sendable {
  public let device = DeviceDescription(
    backend: "reference", name: "Float64", kind: .cpu, memoryBytes: 1 << 30, computeUnits: 1)
  public let freeMemoryBytes = 1 << 30
  public var profiler: Profiler?

  public init() {}

  /// Numbers stay in Float64 from one operation to the next; only ``read(_:)`` rounds them.
  final class Buffer: DeviceBuffer, @unchecked Sendable {
    var values: [Double]
    var byteCount: Int { values.count * 4 }
    init(_ values: [Double]) { self.values = values }
  }

  final class Matrix: MatrixWeight {
    let inputWidth: Int
    let outputWidth: Int
    let byteCount: Int
    let values: [Double]
    init(_ values: [Double], width: Int) {
      self.values = values
      inputWidth = width
      outputWidth = values.count / width
      byteCount = values.count * 8
    }
  }

  final class Table: EmbeddingTable {
    let rows: Int
    let width: Int
    let values: [Double]
    init(_ values: [Double], width: Int) {
      self.values = values
      self.width = width
      rows = values.count / width
    }
  }

  final class Cache: KVCache, @unchecked Sendable {
    let spec: KVCacheSpec
    var content: Reference.Cache
    init(_ spec: KVCacheSpec) {
      self.spec = spec
      content = Reference.Cache(spec)
    }
  }

  final class Batch: PreparedBatch {
    let metadata: BatchMetadata
    init(_ metadata: BatchMetadata) { self.metadata = metadata }
  }

  // MARK: Memory

  public func allocate(_ shape: Shape, _ dtype: DType) throws -> Tensor {
    Tensor(shape: shape, dtype: dtype, buffer: Buffer([Double](repeating: 0, count: shape.count)))
  }

  public func upload(_ values: [Float], shape: Shape) throws -> Tensor {
    try upload(exact: values.doubles, shape: shape)
  }

  /// A tensor holding `values` without rounding.
  public func upload(exact values: [Double], shape: Shape) throws -> Tensor {
    guard values.count == shape.count else {
      throw RetortError(.shapeMismatch, "\(values.count) values for \(shape)", remedy: "Pass as many.")
    }
    return Tensor(shape: shape, dtype: .f32, buffer: Buffer(values))
  }

  public func read(_ tensor: Tensor) throws -> [Float] { try doubles(tensor).map(Float.init) }

  /// The elements without rounding.
  public func doubles(_ tensor: Tensor) throws -> [Double] {
    let buffer = try cast(tensor.buffer, Buffer.self)
    return (0..<tensor.rows).flatMap { row in
      buffer.values[(tensor.offset + row * tensor.rowStride)...].prefix(tensor.width)
    }
  }

  public func synchronize() throws {}

  // MARK: Weights

  public func loadVector(_ parts: [WeightSource]) throws -> Tensor {
    let values = parts.flatMap(decoded)
    return try upload(values.map(Float.init), shape: [values.count])
  }

  public func loadMatrix(_ parts: [WeightSource], compute: ComputeMode) throws -> any MatrixWeight {
    guard let width = parts.first?.shape.extents.last,
      parts.allSatisfy({ $0.shape.rank == 2 && $0.shape[1] == width })
    else {
      throw RetortError(.shapeMismatch, "parts of different widths", remedy: "Stack parts of one width.")
    }
    return Matrix(parts.flatMap(decoded), width: width)
  }

  public func loadTable(_ source: WeightSource) throws -> any EmbeddingTable {
    guard source.shape.rank == 2 else {
      throw RetortError(.shapeMismatch, "table \(source.shape)", remedy: "Pass [rows, width].")
    }
    return Table(decoded(source), width: source.shape[1])
  }

  private func decoded(_ source: WeightSource) -> [Double] {
    TestWeight.decode(source.bytes(), source.dtype, count: source.shape.count)
  }

  // MARK: Batches

  public func makeKVCache(_ spec: KVCacheSpec) throws -> any KVCache { Cache(spec) }
  public func prepare(_ batch: BatchMetadata) throws -> any PreparedBatch { Batch(batch) }

  func result(_ result: Reference.Result, _ operation: any Operation) throws -> Tensor {
    try upload(exact: result.values, shape: operation.outputShape)
  }

  func cast<T>(_ value: Any, _ type: T.Type) throws -> T {
    guard let value = value as? T else {
      throw RetortError(.invalidArgument, "another backend's \(type)", remedy: "Use one backend.")
    }
    return value
  }
}
