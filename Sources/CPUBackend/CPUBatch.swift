import Basics
import CKernels
import Tensors

/// A step's metadata as attention reads it: a descriptor for each row, and how the rows are shared out.
final class CPUBatch: PreparedBatch, @unchecked Sendable {
  let metadata: BatchMetadata
  /// All rows, those of a share together; written once, in `init`.
  let rows: UnsafeMutableBufferPointer<rk_attention_row>
  let shares: [Share]
  private let memory: OwnedMemory

  struct Share: Sendable, Equatable {
    /// Places in ``CPUBatch/rows``.
    let rows: Range<Int>
    /// First tokens that lie in the same blocks for all its sequences, a multiple of 64 within every row's limit.
    let sharedTokens: Int
  }

  /// Rows that one task takes at most.
  private static let shareRows = 32
  /// Attention's chunk of tokens.
  private static let chunk = 64

  init(_ metadata: BatchMetadata, threads: Int) throws {
    self.metadata = metadata
    let sequences = metadata.sequences
    let blocks = sequences.reduce(0) { $0 + $1.blockTable.count }
    let rowBytes = metadata.rows * MemoryLayout<rk_attention_row>.stride
    memory = try OwnedMemory(byteCount: rowBytes + blocks * 4)
    let rows = UnsafeMutableBufferPointer(
      start: memory.base.bindMemory(to: rk_attention_row.self, capacity: metadata.rows),
      count: metadata.rows)
    self.rows = rows
    var tables = (memory.base + rowBytes).bindMemory(to: Int32.self, capacity: blocks)
    var place = 0
    func append(_ slice: SequenceSlice) {
      tables.update(from: slice.blockTable, count: slice.blockTable.count)
      for row in 0..<slice.rowCount {
        rows[place] = rk_attention_row(
          table: UnsafePointer(tables), limit: Int32(slice.contextLength - slice.rowCount + row + 1),
          row: Int32(slice.rowStart + row))
        place += 1
      }
      tables += slice.blockTable.count
    }
    var shares: [Share] = []
    for group in CPUBatch.groups(sequences, threads: threads) {
      let first = place
      group.forEach(append)
      let shared = CPUBatch.sharedTokens(group, blockSize: metadata.blockSize)
      for start in stride(from: first, to: place, by: CPUBatch.shareRows) {
        shares.append(Share(rows: start..<min(place, start + CPUBatch.shareRows), sharedTokens: shared))
      }
    }
    self.shares = shares
  }

  /// Sequences of several rows alone; those of few rows together with others that begin alike.
  private static func groups(_ sequences: [SequenceSlice], threads: Int) -> [[SequenceSlice]] {
    let (short, long) = (sequences.filter { $0.rowCount <= 4 }, sequences.filter { $0.rowCount > 4 })
    // About two shares a thread for each key head.
    let size = max(1, min(shareRows, short.count / (threads * 2)))
    let sorted = short.sorted { $0.blockTable.lexicographicallyPrecedes($1.blockTable) }
    let groups = stride(from: 0, to: sorted.count, by: size).map {
      Array(sorted[$0..<min(sorted.count, $0 + size)])
    }
    return long.map { [$0] } + groups
  }

  private static func sharedTokens(_ group: [SequenceSlice], blockSize: Int) -> Int {
    guard let first = group.first, let last = group.last else { return 0 }
    // In sorted order what the first and the last have in common, all have.
    let common = zip(first.blockTable, last.blockTable).prefix { $0 == $1 }.count * blockSize
    let visible = group.map { $0.contextLength - $0.rowCount + 1 }.min() ?? 0
    return min(common, visible) / chunk * chunk
  }
}
