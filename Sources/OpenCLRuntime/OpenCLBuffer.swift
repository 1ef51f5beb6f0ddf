import Basics
import COpenCL
import Synchronization

/// Device memory with an owner; pooled buffers go back to their pool with the last reference.
public final class OpenCLBuffer: @unchecked Sendable {
  /// Bytes asked for; the memory may be larger.
  public let byteCount: Int
  let memory: cl_mem
  private let capacity: Int
  private let pool: BufferPool
  private let pooled: Bool

  init(memory: cl_mem, byteCount: Int, capacity: Int, pool: BufferPool, pooled: Bool) {
    self.memory = memory
    self.byteCount = byteCount
    self.capacity = capacity
    self.pool = pool
    self.pooled = pooled
  }

  deinit { pool.giveBack(memory, capacity: capacity, pooled: pooled) }
}

/// Free device buffers by size class.
///
/// A buffer may be handed out again while commands that use it are still queued: the queue is in-order, so the
/// next owner's commands come after them.
final class BufferPool: @unchecked Sendable {
  /// Counts of a pool's life.
  struct Statistics {
    var created = 0
    var reused = 0
    var liveBytes = 0
    var freeBytes = 0
  }

  private struct State {
    var free: [Int: [cl_mem]] = [:]
    var statistics = Statistics()
  }

  private let context: cl_context
  private let device: OpenCLDevice
  private let state = Mutex(SendableBox(State()))

  init(context: cl_context, device: OpenCLDevice) {
    self.context = context
    self.device = device
    clRetainContext(context)
  }

  deinit {
    trim()
    clReleaseContext(context)
  }

  var statistics: Statistics { state.withLock { $0.value.statistics } }

  /// Rounds up to one of four classes per power of two, so that at most a fifth is wasted.
  static func sizeClass(_ bytes: Int) -> Int {
    let minimum = 256
    guard bytes > minimum else { return minimum }
    let power = 1 << (Int.bitWidth - 1 - (bytes - 1).leadingZeroBitCount)
    let step = power / 4
    return (bytes + step - 1) / step * step
  }

  /// Memory of at least `byteCount` bytes with undefined contents.
  ///
  /// - Throws: `outOfMemory` where the device cannot hold it.
  func allocate(_ byteCount: Int, pooled: Bool) throws -> OpenCLBuffer {
    guard byteCount >= 0, byteCount <= device.maxAllocationBytes else {
      throw RetortError(
        .outOfMemory,
        "a buffer of \(byteCount) bytes is over the device's limit of \(device.maxAllocationBytes)",
        field: device.name, remedy: "Use a smaller batch or context, or a device with more memory.")
    }
    let rounded = pooled ? Self.sizeClass(byteCount) : max(byteCount, 256)
    let capacity = rounded > device.maxAllocationBytes ? byteCount : rounded
    if pooled, let memory = takeFree(capacity) {
      return OpenCLBuffer(memory: memory, byteCount: byteCount, capacity: capacity, pool: self, pooled: true)
    }
    let memory = try create(capacity)
    return OpenCLBuffer(memory: memory, byteCount: byteCount, capacity: capacity, pool: self, pooled: pooled)
  }

  private func takeFree(_ capacity: Int) -> cl_mem? {
    state.withLock { box in
      guard let memory = box.value.free[capacity]?.popLast() else { return nil }
      box.value.statistics.reused += 1
      box.value.statistics.freeBytes -= capacity
      box.value.statistics.liveBytes += capacity
      return memory
    }
  }

  private func create(_ capacity: Int) throws -> cl_mem {
    let used = statistics
    if used.liveBytes + used.freeBytes + capacity > device.memoryBytes { trim() }
    // Some drivers hand out more than they have and fail later, so the sum is checked here.
    guard used.liveBytes + capacity <= device.memoryBytes else {
      throw RetortError(
        .outOfMemory,
        "\(capacity) bytes beside \(used.liveBytes) in use are over the device's \(device.memoryBytes)",
        field: device.name, remedy: "Use a smaller batch or context, `--compute lean`, or another device.")
    }
    let memory = try makeMemory(capacity)
    state.withLock { box in
      box.value.statistics.created += 1
      box.value.statistics.liveBytes += capacity
    }
    return memory
  }

  private func makeMemory(_ capacity: Int) throws -> cl_mem {
    if device.kind == .cpu, capacity >= LargePages.smallestBytes,
      let memory = LargePages.makeBuffer(context, byteCount: capacity)
    {
      return memory
    }
    var status: cl_int = 0
    var memory = clCreateBuffer(context, cl_mem_flags(CL_MEM_READ_WRITE), capacity, nil, &status)
    if status != CL_SUCCESS {
      trim()
      memory = clCreateBuffer(context, cl_mem_flags(CL_MEM_READ_WRITE), capacity, nil, &status)
    }
    guard status == CL_SUCCESS, let memory else {
      throw OpenCLStatus.error(status, "clCreateBuffer of \(capacity) bytes", field: device.name)
    }
    return memory
  }

  func giveBack(_ memory: cl_mem, capacity: Int, pooled: Bool) {
    state.withLock { box in
      box.value.statistics.liveBytes -= capacity
      if pooled {
        box.value.free[capacity, default: []].append(memory)
        box.value.statistics.freeBytes += capacity
      } else {
        clReleaseMemObject(memory)
      }
    }
  }

  /// Frees all memory that no one uses.
  func trim() {
    state.withLock { box in
      for list in box.value.free.values { for memory in list { clReleaseMemObject(memory) } }
      box.value.free = [:]
      box.value.statistics.freeBytes = 0
    }
  }
}

/// Lets OpenCL handles live under a lock; they may be used from any thread.
struct SendableBox<Value>: @unchecked Sendable {
  var value: Value
  init(_ value: Value) { self.value = value }
}
