import COpenCL
import Dispatch

/// A command that a device has finished; times are on the host's clock (`DispatchTime`), in nanoseconds.
public struct FinishedCommand: Sendable {
  public enum Kind: Sendable {
    case kernel(OpenCLKernel)
    case write(byteCount: Int)
    case read(byteCount: Int)
    case fill(byteCount: Int)
  }

  public let kind: Kind
  /// The group that was open when it was queued: see ``OpenCLContext/closeGroup()``.
  public let group: Int
  /// The host's call that queued it, arguments included; a read's call waits for the result.
  public let hostStart: UInt64
  public let hostNanoseconds: UInt64
  public let deviceStart: UInt64
  public let deviceNanoseconds: UInt64
}

/// Hears of finished commands, in the order in which they ran. Called on the thread that queues them, with the
/// context locked: it must not call the context.
public protocol CommandObserver: AnyObject, Sendable {
  func finished(_ commands: [FinishedCommand])
  /// The host has waited for all queued work.
  func waited(startNanoseconds: UInt64, nanoseconds: UInt64)
}

/// The events of queued commands, until the device has finished them.
///
/// They are looked at where the host waits anyway, and when many have gathered; so the host need not wait for a
/// command in order to time it, and their number stays bounded.
struct CommandLog {
  /// Events held at most.
  static let limit = 4096

  private struct Entry {
    let kind: FinishedCommand.Kind
    let group: Int
    let event: cl_event
    let hostStart: UInt64
    let hostEnd: UInt64
  }

  let observer: (any CommandObserver)?
  var isPaused = false
  private var entries: [Entry] = []
  private var clock = DeviceClock()
  private var group = 0
  private var groupLaunches = 0
  private var kernelNanoseconds: UInt64 = 0
  /// Where the last command ended: commands of an in-order queue do not overlap.
  private var lastEnd: UInt64 = 0

  init(observer: (any CommandObserver)?) { self.observer = observer }

  static var now: UInt64 { DispatchTime.now().uptimeNanoseconds }

  /// Takes over the event of a command that was queued by a call from `hostStart` to `hostEnd`.
  mutating func add(
    _ kind: FinishedCommand.Kind, _ event: cl_event, _ hostStart: UInt64, _ hostEnd: UInt64,
    queue: cl_command_queue
  ) {
    entries.append(
      Entry(kind: kind, group: group, event: event, hostStart: hostStart, hostEnd: hostEnd))
    if case .kernel = kind { groupLaunches += 1 }
    guard entries.count >= Self.limit else { return }
    harvest()
    guard entries.count >= Self.limit else { return }
    clFlush(queue)
    harvest(waitingFor: entries.count / 2)
  }

  /// Ends the group: its number and how many kernels were launched in it.
  mutating func closeGroup() -> (group: Int, launches: Int) {
    defer { (group, groupLaunches) = (group + 1, 0) }
    return (group, groupLaunches)
  }

  /// Reports the commands that have ended, the first `count` of them at any rate.
  mutating func harvest(waitingFor count: Int = 0) {
    guard !entries.isEmpty else { return }
    if count > 0 {
      var event: cl_event? = entries[min(count, entries.count) - 1].event
      clWaitForEvents(1, &event)
    }
    var done = 0
    while done < entries.count, done < count || Self.hasEnded(entries[done].event) { done += 1 }
    guard done > 0 else { return }
    let stamps = entries[..<done].map { Stamps($0.event) }
    for (entry, stamps) in zip(entries, stamps) where stamps.queued > 0 {
      clock.observe(queued: stamps.queued, from: entry.hostStart, to: entry.hostEnd)
    }
    if let last = stamps.last { clock.observe(ended: last.end, by: Self.now) }
    var commands: [FinishedCommand] = []
    commands.reserveCapacity(done)
    for (entry, stamps) in zip(entries, stamps) {
      let duration = stamps.end > stamps.start ? stamps.end - stamps.start : 0
      if case .kernel = entry.kind { kernelNanoseconds &+= duration }
      let start = max(clock.host(stamps.start), lastEnd)
      lastEnd = start &+ duration
      commands.append(
        FinishedCommand(
          kind: entry.kind, group: entry.group, hostStart: entry.hostStart,
          hostNanoseconds: entry.hostEnd - entry.hostStart, deviceStart: start, deviceNanoseconds: duration))
      clReleaseEvent(entry.event)
    }
    entries.removeFirst(done)
    observer?.finished(commands)
  }

  /// Reports all commands, waiting for those that still run.
  mutating func harvestAll() { harvest(waitingFor: entries.count) }

  /// The kernels' time since the last call.
  mutating func takeKernelNanoseconds() -> UInt64 {
    defer { kernelNanoseconds = 0 }
    return kernelNanoseconds
  }

  private static func hasEnded(_ event: cl_event) -> Bool {
    var status: cl_int = cl_int(CL_QUEUED)
    let key = cl_event_info(CL_EVENT_COMMAND_EXECUTION_STATUS)
    clGetEventInfo(event, key, MemoryLayout<cl_int>.size, &status, nil)
    // A negative status is an error: such a command has no times but has ended too.
    return status <= CL_COMPLETE
  }

  private struct Stamps {
    let queued: UInt64
    let start: UInt64
    let end: UInt64

    init(_ event: cl_event) {
      func stamp(_ key: Int32) -> UInt64 {
        var value: cl_ulong = 0
        clGetEventProfilingInfo(event, cl_profiling_info(key), MemoryLayout<cl_ulong>.size, &value, nil)
        return value
      }
      queued = stamp(CL_PROFILING_COMMAND_QUEUED)
      start = stamp(CL_PROFILING_COMMAND_START)
      end = stamp(CL_PROFILING_COMMAND_END)
    }
  }
}
