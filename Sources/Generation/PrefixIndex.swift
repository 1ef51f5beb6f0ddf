/// Finds the cache block that already holds a stretch of text behind a known prefix: pure bookkeeping.
///
/// Full blocks form a tree: each stands behind the block before it, the first ones behind ``Node/root``. A block is
/// looked up by the hash of its parent's hash and its own tokens, and believed only where its parent and its tokens
/// agree as well. A parent is named by a serial number that is given out once, so equal parents mean equal
/// prefixes, however many hashes collide and however often a block changes hands.
struct PrefixIndex {
  /// A prefix: everything up to the end of a block.
  struct Node: Equatable {
    fileprivate let serial: UInt64
    fileprivate let hash: UInt64

    /// The empty prefix.
    static let root = Node(serial: 0, hash: 0)
  }

  private struct Entry {
    /// The root where the block is not in the index.
    var node = Node.root
    var parent: UInt64 = 0
    /// The next block with the same hash.
    var next: Int32 = -1
  }

  let blockSize: Int
  /// Blocks in the index.
  private(set) var count = 0
  private let hashMask: UInt64
  private var entries: [Entry]
  /// The blocks' tokens, `[block][blockSize]`.
  private var tokens: [Int32]
  private var heads: [UInt64: Int32] = [:]
  private var lastSerial: UInt64 = 0

  /// - Parameter hashMask: bits of a hash that count; fewer make collisions, which tests want.
  init(blocks: Int, blockSize: Int, hashMask: UInt64 = .max) {
    self.blockSize = blockSize
    self.hashMask = hashMask
    entries = [Entry](repeating: Entry(), count: blocks)
    tokens = [Int32](repeating: -1, count: blocks * blockSize)
    heads.reserveCapacity(blocks)
  }

  func contains(_ block: Int32) -> Bool { entries[Int(block)].node != .root }

  /// The prefix that ends with a block; nil where the block is not in the index.
  func node(of block: Int32) -> Node? { contains(block) ? entries[Int(block)].node : nil }

  /// The block that holds `text` behind `parent`; nil where there is none or `text` is not a whole block.
  func find(_ text: ArraySlice<Int32>, after parent: Node) -> Int32? {
    guard text.count == blockSize, var block = heads[hash(text, after: parent)] else { return nil }
    while block >= 0 {
      let entry = entries[Int(block)]
      let start = Int(block) * blockSize
      if entry.parent == parent.serial, tokens[start..<start + blockSize].elementsEqual(text) { return block }
      block = entry.next
    }
    return nil
  }

  /// Enters a block that holds `text` behind `parent`; the caller has made sure that neither is there yet.
  mutating func insert(_ block: Int32, _ text: ArraySlice<Int32>, after parent: Node) {
    guard text.count == blockSize, !contains(block) else { return }
    lastSerial += 1
    let hash = hash(text, after: parent)
    entries[Int(block)] = Entry(
      node: Node(serial: lastSerial, hash: hash), parent: parent.serial, next: heads[hash] ?? -1)
    heads[hash] = block
    let start = Int(block) * blockSize
    for (offset, token) in text.enumerated() { tokens[start + offset] = token }
    count += 1
  }

  mutating func remove(_ block: Int32) {
    guard contains(block) else { return }
    let entry = entries[Int(block)]
    if heads[entry.node.hash] == block {
      heads[entry.node.hash] = entry.next >= 0 ? entry.next : nil
    } else {
      var before = heads[entry.node.hash] ?? -1
      while before >= 0, entries[Int(before)].next != block { before = entries[Int(before)].next }
      if before >= 0 { entries[Int(before)].next = entry.next }
    }
    entries[Int(block)] = Entry()
    count -= 1
  }

  /// Blocks whose parent has left the index, so that nothing finds them: none, where blocks leave in order.
  var orphanCount: Int {
    let serials = Set(entries.map(\.node.serial))
    return entries.count { $0.node != .root && !serials.contains($0.parent) && $0.parent != Node.root.serial }
  }

  /// Multiplications and shifts as in the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
  private func hash(_ text: ArraySlice<Int32>, after parent: Node) -> UInt64 {
    var state = parent.hash &+ 0x9E37_79B9_7F4A_7C15
    for token in text {
      state = (state ^ UInt64(UInt32(bitPattern: token))) &* 0xBF58_476D_1CE4_E5B9
      state ^= state >> 29
    }
    return state & hashMask
  }
}
