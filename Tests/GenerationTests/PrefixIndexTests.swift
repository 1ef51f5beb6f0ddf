import TestSupport
import Testing

@testable import Generation

@Suite struct PrefixIndexTests {
  typealias Node = PrefixIndex.Node

  @Test("A block is found behind its own prefix alone, however many hashes collide", arguments: [0, 1, .max])
  func lookup(_ hashMask: UInt64) throws {
    for seed in 0..<20 as Range<UInt64> {
      var random = TestRandom(seed)
      var index = PrefixIndex(blocks: 24, blockSize: 2, hashMask: hashMask)
      // What the index should know: whole texts to blocks.
      var expected: [[Int32]: Int32] = [:]
      func node(_ text: [Int32]) -> Node? { text.isEmpty ? .root : expected[text].flatMap(index.node) }
      for _ in 0..<300 {
        let parent =
          expected.keys.sorted { $0.lexicographicallyPrecedes($1) }.randomElement(using: &random) ?? []
        let prefix = Bool.random(using: &random) ? [] : parent
        let tokens = random.ids(2, below: 3)
        let parentNode = try #require(node(prefix))
        #expect(index.find(tokens[...], after: parentNode) == expected[prefix + tokens])
        let used = Set(expected.values)
        if expected[prefix + tokens] == nil, let block = (0..<24).first(where: { !used.contains($0) }) {
          index.insert(block, tokens[...], after: parentNode)
          expected[prefix + tokens] = block
        } else if let leaf = expected.keys.first(where: { text in
          !expected.keys.contains { $0.count > text.count && $0.starts(with: text) }
        }), let block = expected.removeValue(forKey: leaf) {
          index.remove(block)
          #expect(!index.contains(block) && index.node(of: block) == nil)
        }
        #expect(index.count == expected.count)
      }
      #expect(expected.count > 10)
    }
  }

  @Test("A block that changed hands is not taken for its old content's parent")
  func serials() throws {
    var index = PrefixIndex(blocks: 4, blockSize: 2, hashMask: 0)
    index.insert(0, [1, 2], after: .root)
    let first = try #require(index.node(of: 0))
    index.insert(1, [3, 4], after: first)
    index.remove(0)
    index.insert(0, [5, 6], after: .root)
    let second = try #require(index.node(of: 0))
    #expect(index.find([3, 4], after: second) == nil)
    #expect(index.find([3, 4], after: first) == 1)
  }

  @Test("Text that is no whole block is neither found nor entered")
  func part() {
    var index = PrefixIndex(blocks: 2, blockSize: 3)
    index.insert(0, [1, 2], after: .root)
    #expect(index.count == 0)
    #expect(index.find([1, 2], after: .root) == nil)
  }
}

@Suite struct BlockManagerTests {
  @Test("The block that was let go longest ago is evicted first, and never before those behind it")
  func eviction() {
    var manager = BlockManager(blocks: 4, blockSize: 2)
    var (first, second): ([Int32], [Int32]) = ([], [])
    let (text, other): ([Int32], [Int32]) = ([1, 2, 3, 4], [5, 6, 7, 8])
    #expect(manager.grow(&first, toHold: 4) && manager.grow(&second, toHold: 4))
    #expect(manager.publish(&first, from: 0, tokens: text, limit: 4, swaps: false) == 2)
    #expect(manager.publish(&second, from: 0, tokens: other, limit: 4, swaps: false) == 2)
    manager.release(&first)
    manager.release(&second)
    #expect(manager.freeCount == 4 && manager.idleCount == 4 && manager.heldCount == 0)
    var used: [Int32] = []
    manager.extend(&used, with: text, limit: 4)
    #expect(used.count == 2 && manager.idleCount == 2)
    manager.release(&used)
    // The other text was let go before this one, its second block first.
    var fresh: [Int32] = []
    #expect(manager.grow(&fresh, toHold: 2) && manager.evictions == 1)
    var found: [Int32] = []
    manager.extend(&found, with: other, limit: 4)
    #expect(found.count == 1)
    manager.release(&found)
    manager.extend(&found, with: text, limit: 4)
    #expect(found.count == 2)
    #expect(!manager.grow(&fresh, toHold: 6) && manager.grow(&fresh, toHold: 4) && manager.evictions == 2)
  }

  @Test("A second block with the same content is let go for the first where it may be swapped")
  func swap() {
    var manager = BlockManager(blocks: 6, blockSize: 2)
    var (first, second): ([Int32], [Int32]) = ([], [])
    let text: [Int32] = [1, 2, 3, 4, 5]
    #expect(manager.grow(&first, toHold: 5) && manager.grow(&second, toHold: 5))
    #expect(manager.publish(&first, from: 0, tokens: text, limit: 5, swaps: false) == 2)
    let own = second
    #expect(manager.publish(&second, from: 0, tokens: text, limit: 5, swaps: false) == 0 && second == own)
    #expect(manager.publish(&second, from: 0, tokens: text, limit: 5, swaps: true) == 2)
    #expect(second.prefix(2) == first.prefix(2) && second[2] == own[2])
    #expect(manager.sharedCount == 2 && manager.heldCount == 4 && manager.freeCount == 2)
    #expect(first.prefix(2).allSatisfy { manager.references(to: $0) == 2 })
  }

  @Test("A cut through a shared block goes back to its start, through an own one it does not")
  func rewind() {
    var manager = BlockManager(blocks: 6, blockSize: 4)
    var table: [Int32] = []
    let text = (0..<11).map { Int32($0) }
    for (count, expected, published, kept) in [
      (11, 11, 2, 3), (9, 9, 2, 3), (8, 8, 2, 2), (7, 4, 1, 1), (4, 4, 1, 1), (3, 0, 0, 0), (0, 0, 0, 0),
    ] {
      #expect(manager.grow(&table, toHold: 11))
      let indexed = manager.publish(&table, from: 0, tokens: text, limit: 11, swaps: true)
      #expect(indexed == 2)
      let result = manager.rewind(&table, published: indexed, to: count)
      #expect(result.tokens == expected && result.published == published && table.count == kept)
      manager.release(&table)
      manager.forgetPrefixes()
      #expect(manager.freeCount == 6 && manager.idleCount == 0 && manager.index?.count == 0)
    }
  }

  @Test("Without sharing nothing is found, kept or indexed")
  func off() {
    var manager = BlockManager(blocks: 4, blockSize: 2, sharesPrefixes: false)
    var table: [Int32] = []
    #expect(manager.grow(&table, toHold: 4))
    #expect(manager.publish(&table, from: 0, tokens: [1, 2, 3, 4], limit: 4, swaps: true) == 0)
    manager.release(&table)
    #expect(manager.idleCount == 0 && manager.index == nil)
    manager.extend(&table, with: [1, 2, 3, 4], limit: 4)
    #expect(table.isEmpty)
  }

  @Test("A queue gives its blocks in order, without those taken from its middle")
  func queue() {
    var random = TestRandom(3)
    var queue = BlockQueue(blocks: 12)
    var expected: [Int32] = []
    for _ in 0..<2000 {
      let block = Int32.random(in: 0..<12, using: &random)
      switch Int.random(in: 0..<4, using: &random) {
      case 0:
        let first = queue.popFirst()
        #expect(first == expected.first)
        expected = Array(expected.dropFirst())
      case 1:
        queue.remove(block)
        expected.removeAll { $0 == block }
      default:
        queue.append(block)
        if !expected.contains(block) { expected.append(block) }
      }
      #expect(queue.count == expected.count)
    }
    while let block = queue.popFirst() { #expect(block == expected.removeFirst()) }
    #expect(expected.isEmpty)
  }
}
