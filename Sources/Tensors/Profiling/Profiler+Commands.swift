/// A kernel as a profile names it, and what it takes of the device as far as the driver tells.
public struct ProfiledKernel: Sendable, Hashable {
  public let name: String
  /// What its program was built with.
  public let options: String
  /// Work-items that a group may have.
  public var workGroupLimit: Int?
  /// Bytes of local memory a group.
  public var localBytes: Int?
  /// Bytes of private memory a work-item.
  public var privateBytes: Int?
  /// Registers a work-item.
  public var registers: Int?
  /// Bytes a work-item that found no place in registers.
  public var spillBytes: Int?
  /// Whether the assembler lets each `wgmma` end before the next begins.
  public var serializesWGMMA = false

  public init(name: String, options: String) { (self.name, self.options) = (name, options) }
}

/// How a device and its host kept each other waiting, in nanoseconds.
public struct QueueTimes: Sendable, Hashable {
  /// Kernels that were launched, and the host's time in the calls that launched them.
  public var launches = 0
  public var launchNanoseconds: UInt64 = 0
  /// The host's waits for results.
  public var waits = 0
  public var waitNanoseconds: UInt64 = 0
  /// The device ran kernels and copies.
  public var busyNanoseconds: UInt64 = 0
  /// The device had nothing to do: the host had not queued the next command yet.
  public var starvedNanoseconds: UInt64 = 0
  /// The next command was queued and had not begun.
  public var dispatchNanoseconds: UInt64 = 0
  /// When the last command ended.
  var lastEnd: UInt64?

  public init() {}
}

/// A kernel or copy that a device has finished; times on the clock of `DispatchTime`.
public struct DeviceCommand: Sendable {
  public enum Kind: Sendable, Hashable {
    /// Its number in ``Profiler/kernels``.
    case kernel(Int)
    /// A copy between host and device.
    case copy(name: String, bytes: Int)
  }

  public let kind: Kind
  public let hostStart: UInt64
  public let hostNanoseconds: UInt64
  public let start: UInt64
  public let nanoseconds: UInt64
  /// Whether the host's call waited for the result.
  public let isWaitedFor: Bool

  public init(
    _ kind: Kind, hostStart: UInt64, hostNanoseconds: UInt64, start: UInt64, nanoseconds: UInt64,
    isWaitedFor: Bool = false
  ) {
    (self.kind, self.start, self.nanoseconds) = (kind, start, nanoseconds)
    (self.hostStart, self.hostNanoseconds, self.isWaitedFor) = (hostStart, hostNanoseconds, isWaitedFor)
  }
}

extension Profiler {
  /// An operation and the kernels that a call of it ran.
  struct Mix: Hashable {
    let operation: String
    let kernels: [Int]
  }

  struct MixTotal {
    var total = Total()
    var kernels: [Int: Total] = [:]
  }

  /// What a kernel did for an operation.
  public struct KernelTotal: Sendable, Hashable {
    public let operation: String
    /// Its number in ``Profiler/kernels``.
    public let kernel: Int
    public var calls = 0
    public var nanoseconds: UInt64 = 0
    /// What the operation states of those calls in which this kernel took the most time, and its time in them.
    public var flops = 0
    public var bytes = 0
    public var workNanoseconds: UInt64 = 0
  }

  /// A number for a kernel that has none yet.
  public func add(_ kernel: ProfiledKernel) -> Int {
    kernels.append(kernel)
    return kernels.count - 1
  }

  /// Replaces what is known of a kernel.
  public func update(_ number: Int, _ kernel: ProfiledKernel) { kernels[number] = kernel }

  /// Takes a finished command; in the order in which they ran.
  public func record(_ command: DeviceCommand) {
    let hostEnd = command.hostStart &+ command.hostNanoseconds
    if let last = queue.lastEnd, command.start > last {
      // Until the host's call had ended, the device could not know of the command.
      let known = command.isWaitedFor ? command.hostStart : hostEnd
      let starved = min(max(known, last), command.start) - last
      queue.starvedNanoseconds += starved
      queue.dispatchNanoseconds += command.start - last - starved
    }
    queue.lastEnd = max(queue.lastEnd ?? 0, command.start &+ command.nanoseconds)
    queue.busyNanoseconds += command.nanoseconds
    switch command.kind {
    case .kernel(let number):
      queue.launches += 1
      queue.launchNanoseconds += command.hostNanoseconds
      keep(.device, kernels[number].name, command.start, command.nanoseconds)
    case .copy(let name, let bytes):
      Profiler.add(command.nanoseconds, 0, bytes, to: &copies[name, default: Total()])
      keep(.device, name, command.start, command.nanoseconds, bytes: bytes)
      if command.isWaitedFor {
        recordWait(startNanoseconds: command.hostStart, nanoseconds: command.hostNanoseconds)
      }
    }
  }

  /// Takes a time in which the host waited for the device.
  public func recordWait(startNanoseconds: UInt64, nanoseconds: UInt64) {
    queue.waits += 1
    queue.waitNanoseconds += nanoseconds
    keep(.wait, "wait", startNanoseconds, nanoseconds)
  }

  /// Takes a call of an operation whose kernels have all ended.
  ///
  /// - Parameters:
  ///   - hostStart: when the host began to queue them, and for how long it did.
  ///   - launches: calls and time of each kernel, by its number in ``kernels``.
  public func record(
    _ operation: any Operation, hostStart: UInt64, hostNanoseconds: UInt64,
    launches: [Int: (calls: Int, nanoseconds: UInt64)]
  ) {
    let name = type(of: operation).name
    let (flops, bytes) = (operation.flops, operation.bytes)
    let all = launches.values.reduce(0) { $0 + $1.nanoseconds }
    Profiler.add(all, flops, bytes, to: &totals[name, default: Total()])
    let mix = Mix(operation: name, kernels: launches.keys.sorted())
    var sum = mixes[mix] ?? MixTotal()
    Profiler.add(all, flops, bytes, to: &sum.total)
    for (kernel, launch) in launches {
      sum.kernels[kernel, default: Total()].calls += launch.calls
      sum.kernels[kernel, default: Total()].nanoseconds += launch.nanoseconds
    }
    mixes[mix] = sum
    keep(.operation, name, hostStart, hostNanoseconds, flops: flops, bytes: bytes)
  }

  /// What each kernel did for each operation, in no order.
  ///
  /// An operation states its arithmetic and bytes for its kernels together. Of those that a call ran, the one that
  /// takes the most time gets them; what lays out its operands or joins its results gets none.
  public var kernelTotals: [KernelTotal] {
    var result: [Mix: KernelTotal] = [:]
    for (mix, sum) in mixes {
      let most = sum.kernels.max { ($0.value.nanoseconds, $1.key) < ($1.value.nanoseconds, $0.key) }
      for (kernel, total) in sum.kernels {
        let key = Mix(operation: mix.operation, kernels: [kernel])
        var entry = result[key] ?? KernelTotal(operation: mix.operation, kernel: kernel)
        entry.calls += total.calls
        entry.nanoseconds += total.nanoseconds
        if kernel == most?.key {
          entry.flops += sum.total.flops
          entry.bytes += sum.total.bytes
          entry.workNanoseconds += total.nanoseconds
        }
        result[key] = entry
      }
    }
    return Array(result.values)
  }
}
