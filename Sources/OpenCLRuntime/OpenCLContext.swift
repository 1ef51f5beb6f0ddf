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
  /// Bytes of a piece of a large write; nil writes as a whole.
  private let pieceBytes: Int?
  /// The most groups that a launch may have in its second dimension, and in its third; nil where there is no limit.
  var groupLimit: Int?
  private let state: Mutex<SendableBox<State>>

  private struct State {
    var queue: cl_command_queue
    /// Where commands' times are kept.
    var log: CommandLog?
    /// Host memory that queued writes still read.
    var pending: [UnsafeMutableRawPointer] = []
    /// Made with the first large write.
    var upload: StagedUpload?

    /// Queues a command by `call`, which gets a place for the event where times are kept.
    mutating func enqueue(
      _ kind: @autoclosure () -> FinishedCommand.Kind, _ what: @autoclosure () -> String, field: String,
      _ call: (cl_command_queue, UnsafeMutablePointer<cl_event?>?) throws -> cl_int
    ) throws {
      guard log?.isPaused == false else {
        return try OpenCLStatus.check(try call(queue, nil), what(), field: field)
      }
      var event: cl_event?
      let start = CommandLog.now
      try OpenCLStatus.check(try call(queue, &event), what(), field: field)
      if let event { log?.add(kind(), event, start, CommandLog.now, queue: queue) }
    }

    mutating func clearPending() {
      for pointer in pending { pointer.deallocate() }
      pending = []
    }

    mutating func finish(field: String) throws {
      let start = log == nil ? 0 : CommandLog.now
      try OpenCLStatus.check(clFinish(queue), "clFinish", field: field)
      clearPending()
      guard log?.isPaused == false else { return }
      log?.observer?.waited(startNanoseconds: start, nanoseconds: CommandLog.now - start)
      log?.harvestAll()
    }
  }

  /// - Parameters:
  ///   - profiling: whether kernels' start and end times are kept for ``takeNanoseconds()``.
  ///   - cache: where built programs are kept. By default ``BinaryCache/standard``; where the driver keeps them
  ///     itself, its own cache and, within the process, all contexts of the device together.
  ///   - pieceBytes: large writes go in pieces of this size through two buffers of pinned memory; 0 for none. By
  ///     default 16 MiB on devices with memory of their own.
  public init(
    device: OpenCLDevice, profiling: Bool = false, cache: BinaryCache? = nil, pieceBytes: Int? = nil
  ) throws {
    self.device = device
    let piece = pieceBytes ?? (device.kind == .cpu ? 0 : StagedUpload.pieceBytes)
    self.pieceBytes = piece > 0 ? piece : nil
    groupLimit = device.groupLimit
    let driverKeeps = cache == nil && device.keepsCompiledKernels
    self.cache = cache ?? (driverKeeps ? BinaryCache(folder: nil) : .standard)
    shared = driverKeeps ? try SharedPrograms.of(device) : nil
    let context = try shared?.retainedContext() ?? Self.makeContext(device)
    do {
      let queue = try Self.makeQueue(context, device, profiling: profiling)
      let log = profiling ? CommandLog(observer: nil) : nil
      state = Mutex(SendableBox(State(queue: queue, log: log)))
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
      box.value.clearPending()
      box.value.upload = nil
      box.value.log?.harvestAll()
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
      // Small writes are copied and do not wait; large ones are rare (weights): in pieces through pinned memory, or
      // waited for.
      if bytes.count <= 1 << 20 {
        let copy = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 64)
        copy.copyMemory(from: bytes.baseAddress ?? UnsafeRawPointer(copy), byteCount: bytes.count)
        box.value.pending.append(copy)
        return try write(
          UnsafeRawBufferPointer(start: copy, count: bytes.count), to: buffer, at: offset, waits: false,
          &box.value)
      }
      guard let pieceBytes, let upload = upload(&box.value, pieceBytes) else {
        return try write(bytes, to: buffer, at: offset, waits: true, &box.value)
      }
      for first in stride(from: 0, to: bytes.count, by: pieceBytes) {
        let count = min(pieceBytes, bytes.count - first)
        let staged = upload.fill(UnsafeRawBufferPointer(rebasing: bytes[first..<(first + count)]))
        try write(
          UnsafeRawBufferPointer(start: staged, count: count), to: buffer, at: offset + first, waits: false,
          &box.value, upload)
      }
      // The device starts on what it has while the next tensor is opened.
      try OpenCLStatus.check(clFlush(box.value.queue), "clFlush", field: device.name)
    }
  }

  private func write(
    _ bytes: UnsafeRawBufferPointer, to buffer: OpenCLBuffer, at offset: Int, waits: Bool,
    _ state: inout State,
    _ upload: StagedUpload? = nil
  ) throws {
    try state.enqueue(.write(byteCount: bytes.count), "clEnqueueWriteBuffer", field: device.name) {
      queue, event in
      var copy: cl_event?
      let status = withUnsafeMutablePointer(to: &copy) {
        clEnqueueWriteBuffer(
          queue, buffer.memory, cl_bool(waits ? CL_TRUE : CL_FALSE), offset, bytes.count, bytes.baseAddress,
          0, nil, upload == nil ? event : $0)
      }
      if let upload, let copy {
        if let event {
          clRetainEvent(copy)
          event.pointee = copy
        }
        upload.reads(copy)
      }
      return status
    }
  }

  private func upload(_ state: inout State, _ pieceBytes: Int) -> StagedUpload? {
    if state.upload == nil {
      state.upload = StagedUpload(context: handle, queue: state.queue, pieceBytes: pieceBytes)
    }
    return state.upload
  }

  /// Waits for all queued work and copies the buffer's bytes from `offset` on.
  public func read(_ buffer: OpenCLBuffer, at offset: Int = 0, into bytes: UnsafeMutableRawBufferPointer)
    throws
  {
    guard bytes.count > 0 else { return }
    try checkRange(offset, bytes.count, buffer)
    try state.withLock { box in
      try box.value.enqueue(.read(byteCount: bytes.count), "clEnqueueReadBuffer", field: device.name) {
        clEnqueueReadBuffer(
          $0, buffer.memory, cl_bool(CL_TRUE), offset, bytes.count, bytes.baseAddress, 0, nil, $1)
      }
      box.value.clearPending()
      box.value.log?.harvestAll()
    }
  }

  /// Sets `byteCount` bytes of the buffer from `offset` on to zero; without a count, all that follow.
  public func zero(_ buffer: OpenCLBuffer, at offset: Int = 0, byteCount: Int? = nil) throws {
    let count = byteCount ?? buffer.byteCount - offset
    try checkRange(offset, count, buffer)
    guard count > 0 else { return }
    try state.withLock { box in
      var pattern: UInt8 = 0
      try box.value.enqueue(.fill(byteCount: count), "clEnqueueFillBuffer", field: device.name) {
        clEnqueueFillBuffer($0, buffer.memory, &pattern, 1, offset, count, 0, nil, $1)
      }
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
  ///
  /// - Parameter rewrites: makes instructions of `sm_90a` of the comments that hold them in the driver's PTX.
  /// - Throws: `kernelBuildFailed` with the build log; `unsupported` where the PTX cannot be rewritten.
  public func makeProgram(name: String, source: String, options: String = "", rewrites: Bool = false) throws
    -> OpenCLProgram
  {
    let build = { [handle, device, cache] in
      try OpenCLProgram(
        name: name, source: source, options: options, rewrites: rewrites, context: handle, device: device,
        cache: cache)
    }
    // Drivers that share programs give no PTX.
    return try rewrites ? build() : shared?.program(options: options, source: source, build) ?? build()
  }

  /// Builds a program from a binary made for this device; `source` tells the kernels' arguments.
  ///
  /// - Throws: what the driver says where it refuses the binary.
  func makeProgram(name: String, binary: [UInt8], source: String) throws -> OpenCLProgram {
    try OpenCLProgram(name: name, binary: binary, source: source, context: handle, device: device)
  }

  /// What the driver tells of a kernel's use of the device.
  public func usage(of kernel: OpenCLKernel) -> KernelUsage { kernel.usage(on: device, context: handle) }

  /// Queues a kernel; `global` items in groups of `local` (nil lets the driver choose).
  ///
  /// - Parameters:
  ///   - more: arguments behind `arguments`, which several kernels have in common.
  ///   - inParts: whether the kernel finds its place in the second dimension by `get_global_id(1)`, or with
  ///     `get_global_offset(1)`, so that a launch of more groups than the device takes there may go in several.
  /// - Throws: `unsupported` where there are too many groups and the launch may not be parted.
  public func launch(
    _ kernel: OpenCLKernel, _ arguments: [KernelArgument], and more: [KernelArgument] = [],
    global: (Int, Int, Int), local: (Int, Int, Int)? = nil, inParts: Bool = false
  ) throws {
    guard global.0 > 0, global.1 > 0, global.2 > 0 else { return }
    let most = try mostItems(kernel, global, local, inParts)
    try state.withLock { box in
      for first in stride(from: 0, to: global.1, by: most) {
        try box.value.enqueue(.kernel(kernel), "launching \(kernel.name)", field: kernel.name) {
          queue, event in
          try kernel.set(arguments, more)
          let sizes = (global.0, min(most, global.1 - first), global.2)
          return Self.withSizes((0, first, 0), sizes, local ?? (0, 0, 0)) { offset, global, group in
            clEnqueueNDRangeKernel(
              queue, kernel.handle, 3, first == 0 ? nil : offset, global, local == nil ? nil : group, 0, nil,
              event)
          }
        }
      }
    }
  }

  /// Items of the second dimension that one launch may have.
  private func mostItems(
    _ kernel: OpenCLKernel, _ global: (Int, Int, Int), _ local: (Int, Int, Int)?, _ inParts: Bool
  ) throws -> Int {
    // A driver that chooses the groups may make each of one item.
    let group = local ?? (1, 1, 1)
    guard let groupLimit else { return global.1 }
    let fits = global.1 <= groupLimit * group.1
    guard global.2 <= groupLimit * group.2, fits || inParts else {
      throw RetortError(
        .unsupported,
        "kernel \(kernel.name) of \(global) items in groups of \(group): the device takes \(groupLimit) groups in "
          + "the second dimension and the third", field: kernel.name,
        remedy: "Use smaller batches (`--batch`, `--batch-tokens`, `--step-tokens`).")
    }
    return fits ? global.1 : groupLimit * group.1
  }

  private typealias Sizes = (Int, Int, Int)

  private static func withSizes(
    _ offset: Sizes, _ global: Sizes, _ group: Sizes,
    _ body: (UnsafePointer<Int>, UnsafePointer<Int>, UnsafePointer<Int>) -> cl_int
  ) -> cl_int {
    func withPointer(_ sizes: Sizes, _ body: (UnsafePointer<Int>) -> cl_int) -> cl_int {
      withUnsafePointer(to: sizes) { $0.withMemoryRebound(to: Int.self, capacity: 3, body) }
    }
    return withPointer(offset) { offset in
      withPointer(global) { global in withPointer(group) { body(offset, global, $0) } }
    }
  }

  /// Waits for all queued work.
  public func finish() throws {
    try state.withLock { box in try box.value.finish(field: device.name) }
  }

  /// Starts the device on what is queued without waiting for it.
  public func flush() throws {
    try state.withLock { box in
      try OpenCLStatus.check(clFlush(box.value.queue), "clFlush", field: device.name)
    }
  }

  // MARK: Profiling

  /// Switches commands' times on or off; waits for queued work.
  ///
  /// - Parameter observer: hears of every command that has ended, some time later.
  public func setProfiling(_ enabled: Bool, observer: (any CommandObserver)? = nil) throws {
    try state.withLock { box in
      guard (box.value.log != nil) != enabled || box.value.log?.observer !== observer else { return }
      let queue = try Self.makeQueue(handle, device, profiling: enabled)
      clFinish(box.value.queue)
      box.value.clearPending()
      box.value.upload = nil
      box.value.log?.harvestAll()
      clReleaseCommandQueue(box.value.queue)
      box.value.queue = queue
      box.value.log = enabled ? CommandLog(observer: observer) : nil
    }
  }

  /// Runs `body`, whose commands no profile counts.
  public func unprofiled<T>(_ body: () throws -> T) rethrows -> T {
    let before = state.withLock { box in
      defer { box.value.log?.isPaused = true }
      return box.value.log?.isPaused ?? false
    }
    defer { state.withLock { $0.value.log?.isPaused = before } }
    return try body()
  }

  /// Ends a group of commands, for an observer: its number and how many kernels were launched in it; nil without
  /// profiling.
  public func closeGroup() -> (group: Int, launches: Int)? {
    state.withLock { $0.value.log?.closeGroup() }
  }

  /// Waits, and returns the summed run time of the kernels launched since the last call; 0 without profiling.
  public func takeNanoseconds() throws -> UInt64 {
    try state.withLock { box in
      try box.value.finish(field: device.name)
      return box.value.log?.takeKernelNanoseconds() ?? 0
    }
  }
}
