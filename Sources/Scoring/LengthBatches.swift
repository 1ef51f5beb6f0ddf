/// How texts are shared out to batches.
enum LengthBatches {
  /// Indices of texts in batches of neighbouring lengths, the longest first, so that memory grows at the start only.
  static func make(lengths: [Int], tokens: Int) -> [[Int]] {
    var batches: [[Int]] = []
    var (current, used) = ([Int](), 0)
    for index in lengths.indices.sorted(by: { (lengths[$0], $1) > (lengths[$1], $0) }) {
      if !current.isEmpty, used + lengths[index] > tokens {
        batches.append(current)
        (current, used) = ([], 0)
      }
      current.append(index)
      used += lengths[index]
    }
    if !current.isEmpty { batches.append(current) }
    return batches
  }
}
