/// Hands out the cache's blocks and counts who reads them: pure bookkeeping.
///
/// A block is free, held by one or more sequences, or idle: held by none, but its content is in the prefix index
/// and serves the next sequence that begins alike. Where free blocks run out, the idle block that was let go
/// longest ago is evicted. Sequences let go of their last blocks first and hold all blocks before one that they
/// hold, so a block is never evicted before those behind it.
///
/// Only full blocks are in the index, and such a block is never written again: who must change a token in it takes
/// a block of its own and computes it anew from the block's start (``rewind(_:published:to:)``). That is at most a
/// block's worth of tokens, needs no copy on the device and gives the same bits.
struct BlockManager {
  let blockSize: Int
  let total: Int
  /// Idle blocks evicted for their place.
  private(set) var evictions = 0
  /// Blocks held by more than one sequence.
  private(set) var sharedCount = 0
  /// The largest number of blocks held at once.
  private(set) var mostHeld = 0
  /// Nil where prefixes are not shared.
  private(set) var index: PrefixIndex?
  private var references: [Int32]
  private var free: [Int32]
  private var idle: BlockQueue

  init(blocks: Int, blockSize: Int, sharesPrefixes: Bool = true, hashMask: UInt64 = .max) {
    total = blocks
    self.blockSize = blockSize
    references = [Int32](repeating: 0, count: blocks)
    free = (0..<Int32(blocks)).reversed()
    idle = BlockQueue(blocks: blocks)
    index =
      sharesPrefixes ? PrefixIndex(blocks: blocks, blockSize: blockSize, hashMask: hashMask) : nil
  }

  /// Blocks that can be handed out: free and idle ones.
  var freeCount: Int { free.count + idle.count }
  /// Blocks held by no sequence whose content is kept.
  var idleCount: Int { idle.count }
  /// Blocks held by sequences.
  var heldCount: Int { total - freeCount }

  /// Sequences that hold a block.
  func references(to block: Int32) -> Int { Int(references[Int(block)]) }

  /// Blocks that `tokens` tokens take.
  func blocks(for tokens: Int) -> Int { (tokens + blockSize - 1) / blockSize }

  /// Grows a table to hold `tokens` tokens; false, changing nothing, where blocks run out.
  mutating func grow(_ table: inout [Int32], toHold tokens: Int) -> Bool {
    let missing = blocks(for: tokens) - table.count
    guard missing > 0 else { return true }
    guard missing <= freeCount else { return false }
    for _ in 0..<missing {
      guard let block = take() else { return false }
      table.append(block)
    }
    return true
  }

  /// Lets go of all but the first `count` blocks of a table, the last one first.
  mutating func release(_ table: inout [Int32], keeping count: Int = 0) {
    while table.count > max(0, count) { release(table.removeLast()) }
  }

  // MARK: Prefixes

  /// Appends indexed blocks to a table whose blocks are all full and indexed, as far as they hold `tokens[..<limit]`.
  mutating func extend(_ table: inout [Int32], with tokens: [Int32], limit: Int) {
    guard let index, var parent = node(before: table.count, in: table) else { return }
    while (table.count + 1) * blockSize <= min(limit, tokens.count) {
      let start = table.count * blockSize
      guard let block = index.find(tokens[start..<start + blockSize], after: parent),
        let node = index.node(of: block)
      else { return }
      hold(block)
      table.append(block)
      parent = node
    }
  }

  /// Enters a table's full blocks into the index, from block `published` to the last that ends within
  /// `tokens[..<limit]`; returns how many of the table's first blocks are in the index then.
  ///
  /// Stops at a block whose content is indexed already as another block, unless `swaps` is set: then the table takes
  /// that one and lets go of its own. A block may be swapped only when nothing is being written to it.
  mutating func publish(
    _ table: inout [Int32], from published: Int, tokens: [Int32], limit: Int, swaps: Bool
  ) -> Int {
    guard index != nil, var parent = node(before: published, in: table) else { return published }
    var count = published
    while count < table.count, (count + 1) * blockSize <= min(limit, tokens.count) {
      let text = tokens[count * blockSize..<(count + 1) * blockSize]
      if let block = index?.find(text, after: parent) {
        if block != table[count] {
          guard swaps else { return count }
          hold(block)
          release(table[count])
          table[count] = block
        }
      } else {
        index?.insert(table[count], text, after: parent)
      }
      guard let node = index?.node(of: table[count]) else { return count }
      parent = node
      count += 1
    }
    return count
  }

  /// Cuts a table back to `count` tokens whose successors are to be written: returns how many tokens stay, less
  /// than `count` where the cut goes through an indexed block, and how many blocks are in the index.
  mutating func rewind(_ table: inout [Int32], published: Int, to count: Int) -> (
    tokens: Int, published: Int
  ) {
    let isWhole = count % blockSize == 0
    let kept = isWhole || blocks(for: count) > published ? count : count / blockSize * blockSize
    release(&table, keeping: blocks(for: kept))
    return (kept, min(published, table.count))
  }

  /// Forgets all content: held blocks stay held but are in no index.
  mutating func forgetPrefixes() {
    while let block = idle.popFirst() { free.append(block) }
    for block in 0..<Int32(total) { index?.remove(block) }
  }

  private func node(before count: Int, in table: [Int32]) -> PrefixIndex.Node? {
    guard count > 0 else { return .root }
    return count <= table.count ? index?.node(of: table[count - 1]) : nil
  }

  // MARK: Single blocks

  private mutating func take() -> Int32? {
    var block = free.popLast()
    if block == nil, let evicted = idle.popFirst() {
      index?.remove(evicted)
      evictions += 1
      block = evicted
    }
    guard let block else { return nil }
    references[Int(block)] = 1
    mostHeld = max(mostHeld, heldCount)
    return block
  }

  private mutating func hold(_ block: Int32) {
    let count = references[Int(block)]
    if count == 0 { idle.remove(block) }
    if count == 1 { sharedCount += 1 }
    references[Int(block)] = count + 1
    mostHeld = max(mostHeld, heldCount)
  }

  private mutating func release(_ block: Int32) {
    let count = references[Int(block)]
    guard count > 0 else { return }
    references[Int(block)] = count - 1
    if count == 2 { sharedCount -= 1 }
    guard count == 1 else { return }
    if index?.contains(block) == true { idle.append(block) } else { free.append(block) }
  }
}

/// Blocks in a queue from whose middle one can be taken: a doubly linked list in two arrays.
struct BlockQueue {
  private(set) var count = 0
  private var previous: [Int32]
  private var next: [Int32]
  private var first: Int32 = -1
  private var last: Int32 = -1
  private var isIn: [Bool]

  init(blocks: Int) {
    previous = [Int32](repeating: -1, count: blocks)
    next = previous
    isIn = [Bool](repeating: false, count: blocks)
  }

  mutating func append(_ block: Int32) {
    guard !isIn[Int(block)] else { return }
    isIn[Int(block)] = true
    previous[Int(block)] = last
    next[Int(block)] = -1
    if last >= 0 { next[Int(last)] = block } else { first = block }
    last = block
    count += 1
  }

  mutating func remove(_ block: Int32) {
    guard isIn[Int(block)] else { return }
    isIn[Int(block)] = false
    let (before, after) = (previous[Int(block)], next[Int(block)])
    if before >= 0 { next[Int(before)] = after } else { first = after }
    if after >= 0 { previous[Int(after)] = before } else { last = before }
    count -= 1
  }

  mutating func popFirst() -> Int32? {
    guard first >= 0 else { return nil }
    let block = first
    remove(block)
    return block
  }
}
