/// A direct-mapped cache from short words to their tokens.
struct WordCache {
  /// A word of at most 15 bytes with its length in the top byte.
  struct Key: Equatable {
    var low: UInt64
    var high: UInt64

    @inline(__always)
    init?(_ word: UnsafeBufferPointer<UInt8>) {
      guard word.count <= 15 else { return nil }
      low = 0
      high = UInt64(word.count) << 56
      for (i, byte) in word.enumerated() {
        if i < 8 {
          low |= UInt64(byte) << UInt64(i &* 8)
        } else {
          high |= UInt64(byte) << UInt64((i &- 8) &* 8)
        }
      }
    }

    fileprivate init() {
      low = 0
      high = .max
    }

    @inline(__always)
    fileprivate var slot: Int {
      Int(truncatingIfNeeded: ByteHash.mix(low ^ high &* 0x9E37_79B9_7F4A_7C15)) & (WordCache.size - 1)
    }
  }

  private struct Entry {
    var key = Key()
    var tokens: SIMD4<Int32> = .zero
    var count = 0
  }

  fileprivate static let size = 4096
  private var entries: [Entry] = []

  /// Appends a cached word's tokens; false where the word is not cached.
  @inline(__always)
  func append(_ key: Key, to output: inout [Int32]) -> Bool {
    guard !entries.isEmpty else { return false }
    let entry = entries[key.slot]
    guard entry.key == key else { return false }
    for i in 0..<entry.count { output.append(entry.tokens[i]) }
    return true
  }

  /// Keeps a word of up to four tokens, in place of whatever was there.
  mutating func store(_ key: Key, _ tokens: [Int32]) {
    guard tokens.count <= 4 else { return }
    if entries.isEmpty { entries = [Entry](repeating: Entry(), count: WordCache.size) }
    var entry = Entry(key: key, count: tokens.count)
    for (i, token) in tokens.enumerated() { entry.tokens[i] = token }
    entries[key.slot] = entry
  }
}
