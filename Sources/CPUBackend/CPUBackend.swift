import Basics
import CKernels
import Foundation
import Tensors

/// The operations on the host's processor.
///
/// Calls run at once and return when done. One thread at a time may call a backend; the tasks of an operation
/// run on its own pool.
public final class CPUBackend: Backend, @unchecked Sendable {
  public let device: DeviceDescription
  public var profiler: Profiler?
  let pool: ThreadPool
  let buffers = BufferPool()
  let dense: DenseKernels
  /// Scratch for quantised or narrowed activations, grown on demand and kept.
  var activationScratch: OwnedMemory?
  let attentionScratch: OwnedMemory
  var ropeTables = RopeTables()

  /// A backend on `threads` threads; nil for one a processor.
  ///
  /// - Throws: `invalidArgument` for a thread count below 1, `deviceFailure` where threads cannot be started.
  public init(threads: Int? = nil) throws {
    let count = threads ?? ProcessInfo.processInfo.activeProcessorCount
    guard count >= 1, count <= 1024 else {
      throw RetortError(
        .invalidArgument, "\(count) threads", field: "threads", remedy: "Give a number from 1 to 1024.")
    }
    rk_openmp_single_thread()
    guard let pool = ThreadPool(threads: count) else {
      throw RetortError(
        .deviceFailure, "cannot start \(count) threads", field: "threads", remedy: "Use fewer threads.")
    }
    self.pool = pool
    dense = try DenseKernels(threads: pool.threads)
    attentionScratch = try OwnedMemory(byteCount: pool.threads * CPUBackend.attentionFloats * 4)
    device = DeviceDescription(
      backend: "cpu", name: CPUBackend.processorName, kind: .cpu,
      memoryBytes: Int(ProcessInfo.processInfo.physicalMemory), computeUnits: pool.threads)
  }

  static let attentionFloats = (rk_attention_scratch(Int32(Attention.maximumHeadDim)) + 15) / 16 * 16

  /// The processor's name as the system gives it.
  public static let processorName: String = {
    let info = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    let line = info.split(separator: "\n").first { $0.hasPrefix("model name") }
    let name = line?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) }
    return name ?? "CPU"
  }()

  public var freeMemoryBytes: Int {
    let info = (try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8)) ?? ""
    let line = info.split(separator: "\n").first { $0.hasPrefix("MemAvailable:") }
    let kilobytes = line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }
    return kilobytes.map { $0 * 1024 } ?? device.memoryBytes / 2
  }

  // MARK: Memory

  public func allocate(_ shape: Shape, _ dtype: DType) throws -> Tensor {
    guard let bytes = dtype.byteCount(elements: shape.checkedCount ?? -1) else {
      throw RetortError(
        .shapeMismatch, "no tensor of shape \(shape) and type \(dtype.rawValue)",
        remedy: "Check the model's configuration.")
    }
    return Tensor(shape: shape, dtype: dtype, buffer: try buffers.take(bytes))
  }

  public func upload(_ values: [Float], shape: Shape) throws -> Tensor {
    let tensor = try allocate(shape, .f32)
    guard values.count == shape.count else {
      throw RetortError(
        .shapeMismatch, "\(values.count) values for shape \(shape)", remedy: "Give one value an element.")
    }
    let out = try floats(tensor)
    values.withUnsafeBufferPointer { source in
      if let base = source.baseAddress { out.update(from: base, count: source.count) }
    }
    return tensor
  }

  public func read(_ tensor: Tensor) throws -> [Float] {
    let base = try floats(tensor)
    var values: [Float] = []
    values.reserveCapacity(tensor.shape.count)
    for row in 0..<tensor.rows {
      values.append(
        contentsOf: UnsafeBufferPointer(start: base + row * tensor.rowStride, count: tensor.width))
    }
    return values
  }

  public func synchronize() throws {}

  /// The first element of a Float32 tensor of this backend.
  func floats(_ tensor: Tensor) throws -> UnsafeMutablePointer<Float> {
    guard let buffer = tensor.buffer as? CPUBuffer, tensor.dtype == .f32 else {
      throw CPUBackend.foreign("a tensor")
    }
    return buffer.base.assumingMemoryBound(to: Float.self) + tensor.offset
  }

  static func foreign(_ what: String) -> RetortError {
    RetortError(
      .shapeMismatch, "\(what) belongs to another backend or has the wrong type",
      remedy: "Make tensors, weights and caches with the backend that runs them.")
  }

  /// Runs `body` and reports it where a profiler listens.
  func measured(_ operation: some Tensors.Operation, _ body: () throws -> Void) rethrows {
    guard let profiler else { return try body() }
    let start = DispatchTime.now().uptimeNanoseconds
    try body()
    profiler.record(operation, nanoseconds: DispatchTime.now().uptimeNanoseconds - start)
  }

  /// Scratch of at least `byteCount` bytes; valid until the next call.
  func scratch(_ byteCount: Int) throws -> UnsafeMutableRawPointer {
    if let activationScratch, activationScratch.byteCount >= byteCount { return activationScratch.base }
    let memory = try OwnedMemory(byteCount: BufferPool.sizeClass(byteCount))
    activationScratch = memory
    return memory.base
  }
}
