import Testing

@testable import Relevance

@Suite struct IDIndexTests {
  @Test("An id is new once, however many others there are")
  func growth() {
    var index = IDIndex()
    for number in 0..<5000 {
      let isNew = index.insert("id \(number)")
      #expect(isNew)
    }
    for number in 0..<5000 {
      let isNew = index.insert("id \(number)")
      #expect(!isNew)
    }
    #expect(index.count == 5000)
  }

  @Test("Hashes that fall on the same slot are kept apart, and so is a hash of zero")
  func collisions() {
    var index = IDIndex()
    let first = (0..<500).map { index.insert(hash: UInt64($0) << 40) }
    let second = (0..<500).map { index.insert(hash: UInt64($0) << 40) }
    #expect(first.allSatisfy { $0 } && !second.contains(true))
    let (new, again) = (index.insert(hash: .max), index.insert(hash: .max))
    #expect(new && !again)
    #expect(index.count == 501)
  }
}

@Suite struct SHA256Tests {
  @Test(
    "A stream hashed in pieces of any size gives the digest of the whole", arguments: [1, 3, 63, 64, 65, 200])
  func pieces(_ size: Int) {
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 37) }
    var hash = SHA256()
    for start in stride(from: 0, to: bytes.count, by: size) {
      Array(bytes[start..<min(start + size, bytes.count)]).withUnsafeBytes { hash.update($0) }
    }
    let digest = hash.finish()
    #expect(digest == SHA256.digest(bytes))
  }
}
