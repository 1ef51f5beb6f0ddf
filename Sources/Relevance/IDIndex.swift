/// The ids seen so far, as 64-bit hashes in an open-addressed table: 11 to 22 bytes an id.
///
/// Two ids among n share a hash with a probability of n²/2⁶⁵: one in ten million for two million ids.
struct IDIndex {
  /// Zero marks an empty slot.
  private var slots = [UInt64](repeating: 0, count: 1024)
  private(set) var count = 0

  /// Adds an id; false where it was there.
  mutating func insert(_ id: String) -> Bool {
    let hash = SHA256.digest(id.utf8).prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    return insert(hash: hash)
  }

  mutating func insert(hash: UInt64) -> Bool {
    if count >= slots.count / 4 * 3 { grow() }
    guard IDIndex.put(max(hash, 1), into: &slots) else { return false }
    count += 1
    return true
  }

  private mutating func grow() {
    var larger = [UInt64](repeating: 0, count: slots.count * 2)
    for hash in slots where hash != 0 { _ = IDIndex.put(hash, into: &larger) }
    slots = larger
  }

  /// Linear probing; the table has a free slot.
  private static func put(_ hash: UInt64, into slots: inout [UInt64]) -> Bool {
    let mask = slots.count - 1
    var slot = Int(truncatingIfNeeded: hash) & mask
    while slots[slot] != 0 {
      if slots[slot] == hash { return false }
      slot = (slot + 1) & mask
    }
    slots[slot] = hash
    return true
  }
}
