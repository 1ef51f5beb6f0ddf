/// Hands out the cache's blocks: pure bookkeeping.
///
/// A prefix index over shared blocks belongs here too; for now a block has one owner.
struct BlockManager {
  let blockSize: Int
  let total: Int
  private var free: [Int32]

  init(blocks: Int, blockSize: Int) {
    total = blocks
    self.blockSize = blockSize
    free = (0..<Int32(blocks)).reversed()
  }

  var freeCount: Int { free.count }

  /// Blocks that `tokens` tokens take.
  func blocks(for tokens: Int) -> Int { (tokens + blockSize - 1) / blockSize }

  /// Grows a table to hold `tokens` tokens; false, changing nothing, where blocks run out.
  mutating func grow(_ table: inout [Int32], toHold tokens: Int) -> Bool {
    let missing = blocks(for: tokens) - table.count
    guard missing > 0 else { return true }
    guard missing <= free.count else { return false }
    table += free.suffix(missing).reversed()
    free.removeLast(missing)
    return true
  }

  mutating func release(_ table: inout [Int32]) {
    free += table.reversed()
    table = []
  }
}
