import Basics
import Kernels
import OpenCLRuntime
import Synchronization
import Tensors

extension OpenCLBuffer: DeviceBuffer {}

/// Which family of kernels a device gets.
public enum KernelFamily: String, Sendable, CaseIterable {
  /// Work-groups of one item, wide vectors, packed panels, no barrier.
  case cpu
  /// Work-groups with local memory.
  case gpu

  /// The family that devices of this kind get.
  public init(_ kind: OpenCLDevice.Kind) { self = kind == .cpu ? .cpu : .gpu }
}

/// The operations as OpenCL kernels on one device.
///
/// Operations are queued in call order; the host waits only in ``read(_:)``, ``synchronize()`` and where
/// log-probabilities or sampled ids are read back. Safe to use from one thread at a time.
public final class OpenCLBackend: Backend, @unchecked Sendable {
  public let device: DeviceDescription
  /// The kernels' family: by default ``KernelFamily/cpu`` on CPU devices, else ``KernelFamily/gpu``.
  public let family: KernelFamily
  /// What kernel variants may use on this device.
  public let features: KernelFeatures
  /// The kernels' launch parameters.
  public internal(set) var tuning: Tuning {
    didSet { tuned = TunedValues(tuning, family, features) }
  }
  /// What operations read of the tuning at every launch.
  private(set) var tuned: TunedValues
  let context: OpenCLContext
  let library: KernelLibrary
  /// How products of four bytes are built (int8_groups.opencl).
  let int8DotOptions: KernelOptions
  let rotations = Mutex<[RoPE: RotationTable]>([:])

  /// Where set, hears of operations and kernels some time after they were asked for: of all of them once the host
  /// has waited (``synchronize()``, ``read(_:)``) and when another profiler or none is set.
  public var profiler: Profiler? {
    didSet {
      guard profiler !== oldValue else { return }
      let last = bridge
      bridge = profiler.map { ProfileBridge($0) }
      // Without kernel times the profile shows zeros, which is no reason to stop.
      try? context.setProfiling(bridge != nil, observer: bridge)
      last?.describeKernels(context)
    }
  }
  private var bridge: ProfileBridge?

  public var freeMemoryBytes: Int { max(0, context.device.memoryBytes - context.memoryUse.liveBytes) }

  public func bitChangingParameters(of work: Workload) throws -> String? {
    var words = try tuning.changedBits(of: work, family, features)
    // A teacher's labels may come from any device; a student's steps are one chain.
    if case .training(let precision) = work, multipliesOnWarps(precision) {
      words.insert("tensor cores", at: 0)
    }
    return words.isEmpty ? nil : words.joined(separator: ", ")
  }

  /// What a user should know of the tables that these parameters come from (``Tuning/caution(_:_:)``).
  public func tuningCaution() throws -> String? { try tuning.caution(family, features) }

  /// Opens a context on `device`; kernels are built when first used.
  ///
  /// - Parameter features: what variants may use, by default what the device has: on NVIDIA a probe's result, made
  ///   once for each driver; `.portable` for none.
  /// - Parameter tuning: launch parameters of ``TunableKernel/all``, by default those of the tables for this device
  ///   (``Tuning``).
  /// - Throws: `deviceFailure` or `outOfMemory` where the driver refuses; `malformedFile` for a broken table of launch
  ///   parameters in the user's cache.
  public init(
    device: OpenCLDevice, family: KernelFamily? = nil, features: KernelFeatures? = nil, tuning: Tuning? = nil,
    cache: BinaryCache? = nil
  ) throws {
    let kind: DeviceDescription.Kind =
      switch device.kind {
      case .cpu: .cpu
      case .gpu: .gpu
      case .accelerator: .accelerator
      }
    self.device = DeviceDescription(
      backend: "opencl", name: device.name, kind: kind, memoryBytes: device.memoryBytes,
      computeUnits: device.computeUnits)
    self.family = family ?? KernelFamily(device.kind)
    self.tuning = try tuning ?? Tuning.of(device)
    self.features = try features ?? DeviceModelStore.standard.features(of: device)
    tuned = TunedValues(self.tuning, self.family, self.features)
    context = try OpenCLContext(device: device, cache: cache)
    library = KernelLibrary(context: context, features: self.features)
    int8DotOptions = Self.int8DotOptions(self.features, device)
  }

  /// The device as probed; with `measured` its ceilings too, which takes a second or two where they are not kept
  /// already.
  ///
  /// - Throws: what the driver says where it gives no context.
  public func deviceModel(measured: Bool = true) throws -> DeviceModel {
    try DeviceModelStore.standard.model(of: context.device, measured: measured)
  }

  // MARK: Memory

  public func allocate(_ shape: Shape, _ dtype: DType) throws -> Tensor {
    guard let count = shape.checkedCount, let bytes = dtype.byteCount(elements: count) else {
      throw RetortError(
        .invalidArgument, "a \(dtype.rawValue) tensor of shape \(shape) has no size",
        remedy: "Use non-negative extents of whole blocks.")
    }
    return Tensor(shape: shape, dtype: dtype, buffer: try context.makeBuffer(byteCount: bytes))
  }

  public func upload(_ values: [Float], shape: Shape) throws -> Tensor {
    guard shape.checkedCount == values.count else {
      throw RetortError(
        .shapeMismatch, "\(values.count) values for a tensor of shape \(shape)",
        remedy: "Give one value an element.")
    }
    return Tensor(shape: shape, dtype: .f32, buffer: try makeBuffer(values))
  }

  public func read(_ tensor: Tensor) throws -> [Float] {
    let view = try FloatView(tensor)
    guard tensor.rows > 0, tensor.width > 0 else { return [] }
    let packed = tensor.rowStride == tensor.width || tensor.rows == 1
    if packed { return try readFloats(view.buffer, at: tensor.offset, count: tensor.rows * tensor.width) }
    let span = (tensor.rows - 1) * tensor.rowStride + tensor.width
    let values = try readFloats(view.buffer, at: tensor.offset, count: span)
    return (0..<tensor.rows).flatMap {
      values[($0 * tensor.rowStride)..<($0 * tensor.rowStride + tensor.width)]
    }
  }

  public func synchronize() throws { try context.finish() }

  /// Bytes of device memory in use, freed but kept, and how many buffers were created and reused.
  public var memoryUse: (liveBytes: Int, freeBytes: Int, created: Int, reused: Int) { context.memoryUse }

  // MARK: Helpers of the operations

  func makeBuffer<Element: BitwiseCopyable>(_ values: [Element]) throws -> OpenCLBuffer {
    let buffer = try context.makeBuffer(byteCount: values.count * MemoryLayout<Element>.stride)
    try values.withUnsafeBytes { try context.write($0, to: buffer) }
    return buffer
  }

  func readFloats(_ buffer: OpenCLBuffer, at element: Int = 0, count: Int) throws -> [Float] {
    try readArray(buffer, at: element, count: count, zero: Float(0))
  }

  func readArray<Element: BitwiseCopyable>(
    _ buffer: OpenCLBuffer, at element: Int = 0, count: Int, zero: Element
  ) throws -> [Element] {
    var values = [Element](repeating: zero, count: count)
    try values.withUnsafeMutableBytes {
      try context.read(buffer, at: element * MemoryLayout<Element>.stride, into: $0)
    }
    return values
  }

  /// Launches a kernel of which every item (CPU family) or every driver-chosen group stands alone, and which knows its
  /// place in the second dimension by `get_global_id(1)`.
  func launchItems(
    _ kernel: OpenCLKernel, _ arguments: [KernelArgument], and more: [KernelArgument] = [], _ x: Int,
    _ y: Int = 1, _ z: Int = 1
  ) throws {
    // Compilers for CPUs build a kernel anew for every group size, so it is always one there.
    try context.launch(
      kernel, arguments, and: more, global: (x, y, z), local: family == .cpu ? (1, 1, 1) : nil,
      inParts: true)
  }

  /// Ends an operation: the kernels launched since the last one were its own.
  func record(_ operation: some Tensors.Operation) throws {
    guard let bridge, let (group, launches) = context.closeGroup() else { return }
    bridge.close(group, count: launches, operation)
  }
}

/// A Float32 tensor as kernels take it: a buffer, an element offset and a row stride.
struct FloatView {
  let buffer: OpenCLBuffer
  let offset: UInt32
  let stride: UInt32

  /// - Throws: `shapeMismatch` where the tensor is not Float32, is another backend's, or leaves its buffer.
  init(_ tensor: Tensor) throws {
    guard tensor.dtype == .f32, let buffer = tensor.buffer as? OpenCLBuffer else {
      throw RetortError(
        .shapeMismatch, "a \(tensor.dtype.rawValue) tensor that is not an OpenCL Float32 tensor",
        remedy: "Pass Float32 tensors of the same backend.")
    }
    let last = tensor.offset + max(tensor.rows - 1, 0) * tensor.rowStride + tensor.width
    guard tensor.offset >= 0, tensor.rowStride >= 0, tensor.rows == 0 || last <= buffer.byteCount / 4,
      let offset = UInt32(exactly: tensor.offset), let stride = UInt32(exactly: tensor.rowStride)
    else {
      throw RetortError(
        .shapeMismatch, "a view of shape \(tensor.shape) leaves its buffer of \(buffer.byteCount) bytes",
        remedy: "Pass views within their tensors.")
    }
    (self.buffer, self.offset, self.stride) = (buffer, offset, stride)
  }
}
