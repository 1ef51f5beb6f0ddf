/// Byte-pair merging of one pre-token at a time, with the buffers and the word cache it reuses.
///
/// The result is that of applying, again and again, the merge of lowest rank, leftmost first.
struct BytePairEncoder {
  /// Words of more symbols than this go through the heap, in O(n log n) instead of O(n²).
  private static let shortWord = 48

  let model: BytePairModel
  private var ids: [Int32] = []
  private var ranks: [UInt32] = []
  private var next: [Int32] = []
  private var previous: [Int32] = []
  private var heap = MergeHeap()
  private var cache = WordCache()
  private var spelled: [UInt8] = []

  init(model: BytePairModel) { self.model = model }

  /// Appends the tokens of one pre-token.
  mutating func encode(_ word: UnsafeBufferPointer<UInt8>, into output: inout [Int32]) {
    guard let key = WordCache.Key(word) else {
      merge(word)
      output.append(contentsOf: ids)
      return
    }
    if cache.append(key, to: &output) { return }
    merge(word)
    cache.store(key, ids)
    output.append(contentsOf: ids)
  }

  /// Leaves the word's tokens in `ids`.
  private mutating func merge(_ word: UnsafeBufferPointer<UInt8>) {
    ids.removeAll(keepingCapacity: true)
    if model.ignoresMerges, let whole = wholeWord(word) {
      ids.append(whole)
      return
    }
    for byte in word {
      let id = model.byteTokens[Int(byte)]
      // A byte without a token is left out before merging, so its neighbours may merge, as in Hugging Face.
      if id >= 0 { ids.append(id) }
    }
    guard ids.count > 1 else { return }
    if ids.count <= BytePairEncoder.shortWord { mergeShort() } else { mergeLong() }
  }

  private mutating func wholeWord(_ word: UnsafeBufferPointer<UInt8>) -> Int32? {
    spelled.removeAll(keepingCapacity: true)
    for byte in word { spelled.append(contentsOf: model.characters[Int(byte)]) }
    return model.tokens.find(spelled)
  }

  private mutating func mergeShort() {
    ranks.removeAll(keepingCapacity: true)
    for i in 0..<(ids.count - 1) { ranks.append(model.merges.find(ids[i], ids[i + 1]).rank) }
    while true {
      var best = UInt32.max
      var position = 0
      for i in 0..<ranks.count where ranks[i] < best {
        best = ranks[i]
        position = i
      }
      guard best < .max else { return }
      ids[position] = model.merges.find(ids[position], ids[position + 1]).result
      ids.remove(at: position + 1)
      ranks.remove(at: position)
      if position < ranks.count { ranks[position] = model.merges.find(ids[position], ids[position + 1]).rank }
      if position > 0 { ranks[position - 1] = model.merges.find(ids[position - 1], ids[position]).rank }
    }
  }

  private mutating func mergeLong() {
    let count = ids.count
    next = (1...Int32(count)).map { $0 < Int32(count) ? $0 : -1 }
    previous = (-1..<Int32(count - 1)).map { $0 }
    ranks = [UInt32](repeating: .max, count: count)
    heap.removeAll()
    for i in 0..<(count - 1) { offer(i) }
    while let entry = heap.pop() {
      let left = entry.position
      // An entry is stale once the pair at its position has changed.
      guard ranks[left] == entry.rank, next[left] >= 0 else { continue }
      let right = Int(next[left])
      ids[left] = model.merges.find(ids[left], ids[right]).result
      ids[right] = -1
      ranks[right] = .max
      next[left] = next[right]
      if next[left] >= 0 { previous[Int(next[left])] = Int32(left) }
      offer(left)
      if previous[left] >= 0 { offer(Int(previous[left])) }
    }
    ids.removeAll { $0 < 0 }
  }

  private mutating func offer(_ position: Int) {
    let right = next[position]
    ranks[position] = right < 0 ? .max : model.merges.find(ids[position], ids[Int(right)]).rank
    if ranks[position] < .max { heap.push(rank: ranks[position], position: position) }
  }
}

/// What byte-pair merging needs of a vocabulary.
struct BytePairModel: Sendable {
  var tokens: TokenTable
  var merges: MergeTable
  /// The token of each byte, or the unknown token, or -1.
  var byteTokens: [Int32]
  /// Each byte's character in the byte-level alphabet, in UTF-8.
  var characters: [[UInt8]]
  var ignoresMerges: Bool
}
