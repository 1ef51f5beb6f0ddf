import Basics

/// The merges: a hash table from a pair of token ids to its rank and the token it makes.
struct MergeTable: Sendable {
  /// A merge; `rank` is ``none`` where the pair does not merge.
  struct Merge: Sendable {
    var rank: UInt32
    var result: Int32
  }

  static let none = Merge(rank: .max, result: -1)

  private struct Slot: Sendable {
    var key: UInt64
    var merge: Merge
  }

  private var slots: [Slot]
  private let mask: Int

  @inline(__always)
  static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  /// Builds the table from `"left right"` lines.
  ///
  /// - Throws: `malformedFile` where a line has no pair, a part or the result is no token, or a pair comes twice.
  init(_ merges: [String], tokens: TokenTable) throws {
    var capacity = 16
    while capacity < merges.count * 2 { capacity *= 2 }
    mask = capacity - 1
    slots = [Slot](repeating: Slot(key: .max, merge: MergeTable.none), count: capacity)
    var joined: [UInt8] = []
    for (rank, line) in merges.enumerated() {
      var line = line
      let ids = line.withUTF8 { MergeTable.resolve($0, tokens: tokens, joined: &joined) }
      guard let ids else {
        throw MergeTable.malformed(rank, line, "is not a pair of tokens that make a token")
      }
      guard insert(MergeTable.key(ids.left, ids.right), Merge(rank: UInt32(rank), result: ids.result)) else {
        throw MergeTable.malformed(rank, line, "comes twice")
      }
    }
  }

  /// The merge of a pair, or ``none``.
  @inline(__always)
  func find(_ left: Int32, _ right: Int32) -> Merge {
    let key = MergeTable.key(left, right)
    return slots.withUnsafeBufferPointer { slots in
      var slot = Int(truncatingIfNeeded: ByteHash.mix(key)) & mask
      while true {
        let entry = slots[slot]
        if entry.key == key || entry.key == .max { return entry.merge }
        slot = (slot &+ 1) & mask
      }
    }
  }

  private mutating func insert(_ key: UInt64, _ merge: Merge) -> Bool {
    var slot = Int(truncatingIfNeeded: ByteHash.mix(key)) & mask
    while slots[slot].key != .max {
      if slots[slot].key == key { return false }
      slot = (slot + 1) & mask
    }
    slots[slot] = Slot(key: key, merge: merge)
    return true
  }

  private static func resolve(
    _ line: UnsafeBufferPointer<UInt8>, tokens: TokenTable, joined: inout [UInt8]
  ) -> (left: Int32, right: Int32, result: Int32)? {
    guard let space = line.dropFirst().firstIndex(of: 0x20) else { return nil }
    let left = UnsafeBufferPointer(rebasing: line[..<space])
    let right = UnsafeBufferPointer(rebasing: line[(space + 1)...])
    joined.removeAll(keepingCapacity: true)
    joined.append(contentsOf: left)
    joined.append(contentsOf: right)
    guard !right.isEmpty, let leftID = tokens.find(left), let rightID = tokens.find(right),
      let result = tokens.find(joined)
    else { return nil }
    return (leftID, rightID, result)
  }

  private static func malformed(_ rank: Int, _ line: String, _ problem: String) -> RetortError {
    RetortError(
      .malformedFile, "merge \"\(line.prefix(64))\" \(problem)", field: "merges", position: "merge \(rank)",
      remedy: "The file is damaged or its vocabulary and merges do not belong together; fetch it again.")
  }
}
