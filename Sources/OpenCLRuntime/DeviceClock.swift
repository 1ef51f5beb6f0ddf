/// Places a device's time stamps on the host's clock.
///
/// A command's "queued" stamp is taken while the host is inside the call that queues it, so every call bounds the
/// difference of the two clocks from both sides; the bounds of many calls together leave a microsecond or less.
struct DeviceClock: Sendable {
  /// Bounds of host time less device time, in nanoseconds.
  private var least: Int64?
  private var most: Int64?

  /// Takes a command that the device stamped `queued` while the host was in a call from `start` to `end`.
  mutating func observe(queued: UInt64, from start: UInt64, to end: UInt64) {
    let (low, high) = (Self.difference(start, queued), Self.difference(end, queued))
    guard let least, let most else {
      (self.least, self.most) = (low, high)
      return
    }
    let (narrowLow, narrowHigh) = (max(least, low), min(most, high))
    // Bounds that exclude each other mean that one clock has drifted: the newest call tells where it stands.
    (self.least, self.most) = narrowLow <= narrowHigh ? (narrowLow, narrowHigh) : (low, high)
  }

  /// Takes a command that was known to have ended at `now`; only where nothing better has been seen.
  mutating func observe(ended: UInt64, by now: UInt64) {
    guard least == nil else { return }
    (least, most) = (Self.difference(now, ended), Self.difference(now, ended))
  }

  /// The host's time at the device's `stamp`.
  func host(_ stamp: UInt64) -> UInt64 {
    guard let least, let most else { return stamp }
    return stamp &+ UInt64(bitPattern: least &+ (most &- least) / 2)
  }

  private static func difference(_ host: UInt64, _ device: UInt64) -> Int64 {
    Int64(bitPattern: host &- device)
  }
}
