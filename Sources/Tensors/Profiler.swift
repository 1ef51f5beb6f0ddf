import Dispatch

/// Receives every operation that a backend runs; for `retort bench`.
public final class Profiler: @unchecked Sendable {
  /// Sums over all calls of one operation.
  public struct Total: Sendable {
    public var calls = 0
    public var nanoseconds: UInt64 = 0
    public var flops = 0
    public var bytes = 0
  }

  /// One call of an operation, on the clock of `DispatchTime`.
  public struct Event: Sendable, Hashable {
    public let name: String
    public let startNanoseconds: UInt64
    public let nanoseconds: UInt64
    public let flops: Int
    public let bytes: Int
  }

  public private(set) var totals: [String: Total] = [:]
  /// The first calls, at most ``eventLimit`` of them, in the order in which they ended.
  public private(set) var events: [Event] = []
  /// Calls that found no place among ``events``.
  public private(set) var droppedEvents = 0
  public let eventLimit: Int

  /// - Parameter eventLimit: calls to keep one by one; none by default, when only sums are kept.
  public init(eventLimit: Int = 0) { self.eventLimit = max(0, eventLimit) }

  /// Takes a call that has just ended.
  public func record(_ operation: any Operation, nanoseconds: UInt64) {
    let name = type(of: operation).name
    let (flops, bytes) = (operation.flops, operation.bytes)
    Profiler.add(nanoseconds, flops, bytes, to: &totals[name, default: Total()])
    guard eventLimit > 0 else { return }
    guard events.count < eventLimit else {
      droppedEvents += 1
      return
    }
    // A device's own time may be shorter than the host's wait: the start is then later than the launch.
    let end = DispatchTime.now().uptimeNanoseconds
    events.append(
      Event(
        name: name, startNanoseconds: end - min(end, nanoseconds), nanoseconds: nanoseconds, flops: flops,
        bytes: bytes))
  }

  private static func add(_ nanoseconds: UInt64, _ flops: Int, _ bytes: Int, to total: inout Total) {
    total.calls += 1
    total.nanoseconds += nanoseconds
    total.flops += flops
    total.bytes += bytes
  }

  public func reset() {
    totals = [:]
    events = []
    droppedEvents = 0
  }
}
