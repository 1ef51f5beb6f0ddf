import Tensors

/// The tokens that may come next, one bit an id.
public struct TokenMask: Sendable {
  /// As many words as the vocabulary needs.
  public let allowed: AllowedTokens
  /// Equal for masks with equal words; never reused by a constraint.
  public let number: Int

  /// Bit `id % 32` of word `id / 32`.
  public var words: [UInt32] { allowed.words }
  /// How many tokens are allowed.
  public var count: Int { allowed.count }

  /// Whether a token is allowed.
  public func contains(_ token: Int32) -> Bool { allowed.contains(token) }
}

/// The masks made so far; the ones unused for longest go first.
struct TokenMaskCache {
  private struct Entry {
    var mask: TokenMask
    var lastUse: UInt64
  }

  private let capacity: Int
  private var entries: [Int32: Entry] = [:]
  /// Masks by content, to share the words of equal ones.
  private var contents: [[UInt32]: TokenMask] = [:]
  private var clock: UInt64 = 0
  private var made = 0

  init(capacity: Int) { self.capacity = max(2, capacity) }

  mutating func find(_ state: Int32) -> TokenMask? {
    clock += 1
    entries[state]?.lastUse = clock
    return entries[state]?.mask
  }

  mutating func insert(_ words: [UInt32], for state: Int32) -> TokenMask {
    if entries.count >= capacity { dropOldestHalf() }
    let mask: TokenMask
    if let known = contents[words] {
      mask = known
    } else {
      mask = TokenMask(allowed: AllowedTokens(words: words), number: made)
      made += 1
      contents[words] = mask
    }
    entries[state] = Entry(mask: mask, lastUse: clock)
    return mask
  }

  var count: Int { entries.count }

  private mutating func dropOldestHalf() {
    let uses = entries.values.map(\.lastUse).sorted()
    let bound = uses[uses.count / 2]
    drop { $0.lastUse < bound }
  }

  /// Keeps the masks of these states only.
  mutating func keep(_ isKept: (Int32) -> Bool) {
    entries = entries.filter { isKept($0.key) }
    drop { _ in false }
  }

  private mutating func drop(_ isDropped: (Entry) -> Bool) {
    entries = entries.filter { !isDropped($0.value) }
    let kept = Set(entries.values.map(\.mask.number))
    contents = contents.filter { kept.contains($0.value.number) }
  }
}
