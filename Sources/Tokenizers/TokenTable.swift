import Basics

/// The vocabulary: token texts in one buffer, and a hash table from text to id.
struct TokenTable: Sendable {
  private var storage: [UInt8] = []
  private var offsets: [Int]
  private var slots: [Int32]
  private let mask: Int

  var count: Int { offsets.count - 1 }

  /// Builds the table; where two tokens have the same text, the normal one is found, else the first.
  ///
  /// - Throws: `malformedFile` where two normal tokens have the same text, or there are too many tokens.
  init(_ tokens: [String], isNormal: [Bool]) throws {
    guard tokens.count < 1 << 24 else {
      throw RetortError(
        .malformedFile, "\(tokens.count) tokens are more than any vocabulary has", field: "tokens",
        remedy: "Fetch the file again.")
    }
    var capacity = 16
    while capacity < tokens.count * 2 { capacity *= 2 }
    mask = capacity - 1
    slots = [Int32](repeating: -1, count: capacity)
    offsets = [0]
    offsets.reserveCapacity(tokens.count + 1)
    storage.reserveCapacity(tokens.count * 8)
    for token in tokens {
      storage.append(contentsOf: token.utf8)
      offsets.append(storage.count)
    }
    for id in tokens.indices where isNormal[id] { try insert(id, isNormal: true) }
    for id in tokens.indices where !isNormal[id] { try insert(id, isNormal: false) }
  }

  private mutating func insert(_ id: Int, isNormal: Bool) throws {
    let slot = withBytes(id) { findSlot($0) }
    guard slots[slot] < 0 else {
      guard isNormal else { return }
      throw RetortError(
        .malformedFile, "tokens \(slots[slot]) and \(id) have the same text", field: "tokens",
        position: "token \(id)", remedy: "Fetch the file again.")
    }
    slots[slot] = Int32(id)
  }

  /// The token's text as UTF-8.
  @inline(__always)
  func withBytes<R>(_ id: Int, _ body: (UnsafeBufferPointer<UInt8>) throws -> R) rethrows -> R {
    try storage.withUnsafeBufferPointer {
      try body(UnsafeBufferPointer(rebasing: $0[offsets[id]..<offsets[id + 1]]))
    }
  }

  /// The id of the token with this text.
  func find(_ text: UnsafeBufferPointer<UInt8>) -> Int32? {
    let id = slots[findSlot(text)]
    return id >= 0 ? id : nil
  }

  func find(_ text: [UInt8]) -> Int32? { text.withUnsafeBufferPointer { find($0) } }

  /// The slot that holds the text, or the free one where it would go.
  private func findSlot(_ text: UnsafeBufferPointer<UInt8>) -> Int {
    var slot = Int(truncatingIfNeeded: ByteHash.hash(text)) & mask
    while slots[slot] >= 0, !equals(Int(slots[slot]), text) { slot = (slot + 1) & mask }
    return slot
  }

  private func equals(_ id: Int, _ text: UnsafeBufferPointer<UInt8>) -> Bool {
    let start = offsets[id]
    guard offsets[id + 1] - start == text.count else { return false }
    for i in 0..<text.count where storage[start + i] != text[i] { return false }
    return true
  }
}

/// Hash functions for short keys.
enum ByteHash {
  /// FNV-1a with a final mix.
  @inline(__always)
  static func hash(_ text: UnsafeBufferPointer<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in text { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    return mix(hash)
  }

  /// The finaliser of MurmurHash3.
  @inline(__always)
  static func mix(_ key: UInt64) -> UInt64 {
    var key = key
    key = (key ^ key >> 33) &* 0xFF51_AFD7_ED55_8CCD
    key = (key ^ key >> 33) &* 0xC4CE_B9FE_1A85_EC53
    return key ^ key >> 33
  }
}
