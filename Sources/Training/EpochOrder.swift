import Basics

/// What a training run draws at random, apart by the upper half of Philox's counter.
enum RandomUse: UInt64 {
  case order = 1
  case dropout = 2

  /// The upper half of the counter for the n-th thing (an epoch, a step) of this use.
  func counter(_ number: Int) -> UInt64 { rawValue << 48 | UInt64(truncatingIfNeeded: number) }
}

/// The order in which an epoch visits the rows.
public enum EpochOrder {
  /// A permutation of `0 ..< count` that depends on seed and epoch alone (Fisher and Yates's shuffle over Philox).
  public static func rows(count: Int, seed: UInt64, epoch: Int) -> [Int] {
    var rows = Array(0..<max(count, 0))
    let random = Philox(key: seed)
    for last in stride(from: rows.count - 1, to: 0, by: -1) {
      let words = random.words(UInt64(last), RandomUse.order.counter(epoch))
      let draw = UInt64(words[0]) << 32 | UInt64(words[1])
      // The upper half of draw × (last + 1): uniform up to (last + 1) / 2⁶⁴.
      rows.swapAt(last, Int(draw.multipliedFullWidth(by: UInt64(last) + 1).high))
    }
    return rows
  }
}
