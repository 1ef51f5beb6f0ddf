import Basics
import COpenCL
import Synchronization

/// A context on one device with its in-order queue, buffer pool and programs.
///
/// Calls from several threads are serialised; commands run in call order.
public final class OpenCLContext: @unchecked Sendable {
  public let device: OpenCLDevice
  private let handle: cl_context
  private let pool: BufferPool
  private let cache: BinaryCache
  /// Where built programs are shared with the process's other contexts on the device.
  private let shared: SharedPrograms?
  private let state: Mutex<SendableBox<State>>

  private struct State {
    var queue: cl_command_queue
    var profiling: Bool
    /// Times of the kernels since ``takeNanoseconds()``.
    var events: [cl_event] = []
    /// Host memory that queued writes still read.
    var pending: [UnsafeMutableRawPointer] = []
  }

  /// - Parameters:
  ///   - profiling: whether kernels' start and end times are kept for ``takeNanoseconds()``.
  ///   - cache: where built programs are kept. By default ``BinaryCache/standard``; where the driver keeps them
  ///     itself, its own cache and, within the process, all contexts of the device together.
  public init(device: OpenCLDevice, profiling: Bool = false, cache: BinaryCache? = nil) throws {
    self.device = device
    let driverKeeps = cache == nil && device.keepsCompiledKernels
    self.cache = cache ?? (driverKeeps ? BinaryCache(folder: nil) : .standard)
    shared = driverKeeps ? try SharedPrograms.of(device) : nil
    let context = try shared?.retainedContext() ?? Self.makeContext(device)
    do {
      let queue = try Self.makeQueue(context, device, profiling: profiling)
      state = Mutex(SendableBox(State(queue: queue, profiling: profiling)))
    } catch {
      clReleaseContext(context)
      throw error
    }
    handle = context
    pool = BufferPool(context: context, device: device)
  }

  deinit {
    state.withLock { box in
      clFinish(box.value.queue)
      Self.clear(&box.value)
      clReleaseCommandQueue(box.value.queue)
    }
    clReleaseContext(handle)
  }

  static func makeContext(_ device: OpenCLDevice) throws -> cl_context {
    var status: cl_int = 0
    var id: cl_device_id? = device.handle
    guard let context = clCreateContext(nil, 1, &id, nil, nil, &status), status == CL_SUCCESS else {
      throw OpenCLStatus.error(status, "clCreateContext", field: device.name)
    }
    return context
  }

  private static func makeQueue(_ context: cl_context, _ device: OpenCLDevice, profiling: Bool) throws
    -> cl_command_queue
  {
    var status: cl_int = 0
    let flags = profiling ? cl_queue_properties(CL_QUEUE_PROFILING_ENABLE) : 0
    var properties: [cl_queue_properties] = [cl_queue_properties(CL_QUEUE_PROPERTIES), flags, 0]
    let queue = clCreateCommandQueueWithProperties(context, device.handle, &properties, &status)
    guard let queue, status == CL_SUCCESS else {
      throw OpenCLStatus.error(status, "clCreateCommandQueueWithProperties", field: device.name)
    }
    return queue
  }

  // MARK: Memory

  /// Bytes of live buffers, and how often a buffer was created and reused.
  public var memoryUse: (liveBytes: Int, freeBytes: Int, created: Int, reused: Int) {
    let statistics = pool.statistics
    return (statistics.liveBytes, statistics.freeBytes, statistics.created, statistics.reused)
  }

  /// A buffer with undefined contents; pooled ones return to the pool with the last reference.
  ///
  /// - Throws: `outOfMemory` where the device's limits forbid it.
  public func makeBuffer(byteCount: Int, pooled: Bool = true) throws -> OpenCLBuffer {
    try pool.allocate(byteCount, pooled: pooled)
  }

  /// Queues a copy of `bytes` into the buffer; the host memory may go when the call returns.
  public func write(_ bytes: UnsafeRawBufferPointer, to buffer: OpenCLBuffer, at offset: Int = 0) throws {
    guard bytes.count > 0 else { return }
    try checkRange(offset, bytes.count, buffer)
    try state.withLock { box in
      // Small writes are copied and do not wait; large ones are rare (weights) and block.
      let small = bytes.count <= 1 << 20
      var source = bytes.baseAddress
      if small {
        let copy = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 64)
        copy.copyMemory(from: bytes.baseAddress ?? UnsafeRawPointer(copy), byteCount: bytes.count)
        box.value.pending.append(copy)
        source = UnsafeRawPointer(copy)
      }
      let status = clEnqueueWriteBuffer(
        box.value.queue, buffer.memory, cl_bool(small ? CL_FALSE : CL_TRUE), offset, bytes.count, source, 0,
        nil, nil)
      try OpenCLStatus.check(status, "clEnqueueWriteBuffer", field: device.name)
    }
  }

  /// Waits for all queued work and copies the buffer's bytes from `offset` on.
  public func read(_ buffer: OpenCLBuffer, at offset: Int = 0, into bytes: UnsafeMutableRawBufferPointer)
    throws
  {
    guard bytes.count > 0 else { return }
    try checkRange(offset, bytes.count, buffer)
    try state.withLock { box in
      let status = clEnqueueReadBuffer(
        box.value.queue, buffer.memory, cl_bool(CL_TRUE), offset, bytes.count, bytes.baseAddress, 0, nil, nil)
      try OpenCLStatus.check(status, "clEnqueueReadBuffer", field: device.name)
      Self.clearPending(&box.value)
    }
  }

  /// Sets `byteCount` bytes of the buffer from `offset` on to zero; without a count, all that follow.
  public func zero(_ buffer: OpenCLBuffer, at offset: Int = 0, byteCount: Int? = nil) throws {
    let count = byteCount ?? buffer.byteCount - offset
    try checkRange(offset, count, buffer)
    guard count > 0 else { return }
    try state.withLock { box in
      var pattern: UInt8 = 0
      let status = clEnqueueFillBuffer(
        box.value.queue, buffer.memory, &pattern, 1, offset, count, 0, nil, nil)
      try OpenCLStatus.check(status, "clEnqueueFillBuffer", field: device.name)
    }
  }

  private func checkRange(_ offset: Int, _ count: Int, _ buffer: OpenCLBuffer) throws {
    let (end, overflow) = offset.addingReportingOverflow(count)
    guard offset >= 0, count >= 0, !overflow, end <= buffer.byteCount else {
      throw RetortError(
        .invalidArgument, "bytes \(offset)+\(count) of a buffer of \(buffer.byteCount)",
        remedy: "This is a programming error; please report it.")
    }
  }

  // MARK: Programs and launches

  /// Builds a program, or takes one that is built.
  public func makeProgram(name: String, source: String, options: String = "") throws -> OpenCLProgram {
    let build = { [handle, device, cache] in
      try OpenCLProgram(
        name: name, source: source, options: options, context: handle, device: device, cache: cache)
    }
    return try shared?.program(options: options, source: source, build) ?? build()
  }

  /// Builds a program from a binary made for this device; `source` tells the kernels' arguments.
  ///
  /// - Throws: what the driver says where it refuses the binary.
  func makeProgram(name: String, binary: [UInt8], source: String) throws -> OpenCLProgram {
    try OpenCLProgram(name: name, binary: binary, source: source, context: handle, device: device)
  }

  /// Queues a kernel; `global` items in groups of `local` (nil lets the driver choose).
  public func launch(
    _ kernel: OpenCLKernel, _ arguments: [KernelArgument], global: (Int, Int, Int),
    local: (Int, Int, Int)? = nil
  ) throws {
    guard global.0 > 0, global.1 > 0, global.2 > 0 else { return }
    try state.withLock { box in
      try kernel.set(arguments)
      var event: cl_event?
      let status = withUnsafePointer(to: global) { globalSizes -> cl_int in
        globalSizes.withMemoryRebound(to: Int.self, capacity: 3) { globalSizes in
          var group = local ?? (0, 0, 0)
          return withUnsafePointer(to: &group) { groupSizes in
            groupSizes.withMemoryRebound(to: Int.self, capacity: 3) { groupSizes in
              let groups = local == nil ? nil : groupSizes
              if box.value.profiling {
                return clEnqueueNDRangeKernel(
                  box.value.queue, kernel.handle, 3, nil, globalSizes, groups, 0, nil, &event)
              }
              return clEnqueueNDRangeKernel(
                box.value.queue, kernel.handle, 3, nil, globalSizes, groups, 0, nil, nil)
            }
          }
        }
      }
      try OpenCLStatus.check(status, "launching \(kernel.name)", field: kernel.name)
      if let event { box.value.events.append(event) }
    }
  }

  /// Waits for all queued work.
  public func finish() throws {
    try state.withLock { box in
      try OpenCLStatus.check(clFinish(box.value.queue), "clFinish", field: device.name)
      Self.clearPending(&box.value)
    }
  }

  /// Starts the device on what is queued without waiting for it.
  public func flush() throws {
    try state.withLock { box in
      try OpenCLStatus.check(clFlush(box.value.queue), "clFlush", field: device.name)
    }
  }

  // MARK: Profiling

  /// Switches kernel times on or off; waits for queued work.
  public func setProfiling(_ enabled: Bool) throws {
    try state.withLock { box in
      guard box.value.profiling != enabled else { return }
      let queue = try Self.makeQueue(handle, device, profiling: enabled)
      clFinish(box.value.queue)
      Self.clear(&box.value)
      clReleaseCommandQueue(box.value.queue)
      box.value.queue = queue
      box.value.profiling = enabled
    }
  }

  /// Waits, and returns the summed run time of the kernels launched since the last call.
  public func takeNanoseconds() throws -> UInt64 {
    try state.withLock { box in
      try OpenCLStatus.check(clFinish(box.value.queue), "clFinish", field: device.name)
      Self.clearPending(&box.value)
      var total: UInt64 = 0
      for event in box.value.events {
        var start: cl_ulong = 0
        var end: cl_ulong = 0
        clGetEventProfilingInfo(event, cl_profiling_info(CL_PROFILING_COMMAND_START), 8, &start, nil)
        clGetEventProfilingInfo(event, cl_profiling_info(CL_PROFILING_COMMAND_END), 8, &end, nil)
        total &+= end > start ? end - start : 0
        clReleaseEvent(event)
      }
      box.value.events = []
      return total
    }
  }

  private static func clearPending(_ state: inout State) {
    for pointer in state.pending { pointer.deallocate() }
    state.pending = []
  }

  private static func clear(_ state: inout State) {
    clearPending(&state)
    for event in state.events { clReleaseEvent(event) }
    state.events = []
  }
}
