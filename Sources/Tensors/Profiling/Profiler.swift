import Dispatch

/// Receives every operation that a backend runs and, from devices that run behind the host, every command.
///
/// It keeps sums, whose number depends on the kinds of operations and kernels alone, and the first calls one by one
/// where it is asked to. Used from one thread at a time: the backend's.
public final class Profiler: @unchecked Sendable {
  /// Sums over all calls of one operation. Times are the device's own, or the host's where it computes itself.
  public struct Total: Sendable, Hashable {
    public var calls = 0
    public var nanoseconds: UInt64 = 0
    public var flops = 0
    public var bytes = 0
  }

  /// One call, on the clock of `DispatchTime`.
  public struct Event: Sendable, Hashable {
    /// Whose time it is: a row of a timeline.
    public enum Track: Int, Sendable, CaseIterable {
      /// An operation that the host computed itself, or its calls that queue an operation's kernels.
      case operation
      /// The host's wait for the device.
      case wait
      /// A kernel or a copy on the device.
      case device
    }

    public let track: Track
    public let name: String
    public let startNanoseconds: UInt64
    public let nanoseconds: UInt64
    public let flops: Int
    public let bytes: Int
  }

  /// By operation; complete for a device once the host has waited for it.
  public internal(set) var totals: [String: Total] = [:]
  /// What kernels each operation ran: see ``kernelTotals``.
  var mixes: [Mix: MixTotal] = [:]
  /// The kernels that ran, in the order in which they first did.
  public internal(set) var kernels: [ProfiledKernel] = []
  /// Copies between host and device, by name.
  public internal(set) var copies: [String: Total] = [:]
  /// How device and host kept each other waiting.
  public internal(set) var queue = QueueTimes()
  /// The first calls, at most ``eventLimit`` of them, in the order in which they became known.
  public private(set) var events: [Event] = []
  /// Calls that found no place among ``events``.
  public private(set) var droppedEvents = 0
  public let eventLimit: Int
  /// The first start and the last end of what was recorded; nil for nothing.
  public private(set) var span: (start: UInt64, end: UInt64)?

  /// - Parameter eventLimit: calls to keep one by one; none by default, when only sums are kept.
  public init(eventLimit: Int = 0) { self.eventLimit = max(0, eventLimit) }

  /// Takes a call that has just ended, of an operation that the host computed itself.
  public func record(_ operation: any Operation, nanoseconds: UInt64) {
    let name = type(of: operation).name
    let (flops, bytes) = (operation.flops, operation.bytes)
    Profiler.add(nanoseconds, flops, bytes, to: &totals[name, default: Total()])
    let end = DispatchTime.now().uptimeNanoseconds
    keep(.operation, name, end - min(end, nanoseconds), nanoseconds, flops: flops, bytes: bytes)
  }

  /// Widens the span, and keeps the event where there is room.
  func keep(
    _ track: Event.Track, _ name: @autoclosure () -> String, _ start: UInt64, _ nanoseconds: UInt64,
    flops: Int = 0, bytes: Int = 0
  ) {
    let end = start &+ nanoseconds
    span = span.map { (min($0.start, start), max($0.end, end)) } ?? (start, end)
    guard eventLimit > 0 else { return }
    guard events.count < eventLimit else {
      droppedEvents += 1
      return
    }
    events.append(
      Event(
        track: track, name: name(), startNanoseconds: start, nanoseconds: nanoseconds, flops: flops,
        bytes: bytes))
  }

  static func add(_ nanoseconds: UInt64, _ flops: Int, _ bytes: Int, to total: inout Total) {
    total.calls += 1
    total.nanoseconds += nanoseconds
    total.flops += flops
    total.bytes += bytes
  }

  /// Forgets everything but the kernels' names.
  public func reset() {
    (totals, mixes, copies, queue) = ([:], [:], [:], QueueTimes())
    (events, droppedEvents, span) = ([], 0, nil)
  }
}
