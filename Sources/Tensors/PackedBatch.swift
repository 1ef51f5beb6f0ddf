import Basics

/// Sequences of different lengths laid end to end, without padding: what an encoder reads in one pass.
public struct PackedBatch: Sendable, Hashable {
  /// One token id a row.
  public let tokenIDs: [Int32]
  /// One segment a row: 0 in a text or the first text of a pair, 1 in the second.
  public let typeIDs: [Int32]
  /// One position a row (its index in its sequence, from 0).
  public let positions: [Int32]
  /// First row of each sequence, and the number of rows at the end: `[sequences + 1]`.
  public let starts: [Int32]

  public var rows: Int { tokenIDs.count }
  public var sequences: Int { starts.count - 1 }

  /// The rows of a sequence.
  public func rows(of sequence: Int) -> Range<Int> { Int(starts[sequence])..<Int(starts[sequence + 1]) }

  /// Length of the longest sequence; 0 without any.
  public var longest: Int { (0..<sequences).reduce(0) { max($0, rows(of: $1).count) } }

  /// Lays sequences end to end; without `typeIDs` every row is of segment 0.
  ///
  /// - Throws: `invalidArgument` where a sequence is empty, or its ids and segments differ in number.
  public init(tokenIDs sequences: [[Int32]], typeIDs: [[Int32]]? = nil) throws {
    var starts: [Int32] = [0]
    var positions: [Int32] = []
    for (index, ids) in sequences.enumerated() {
      guard !ids.isEmpty, typeIDs.map({ index < $0.count && $0[index].count == ids.count }) ?? true,
        let end = Int32(exactly: positions.count + ids.count)
      else {
        throw RetortError(
          .invalidArgument, "an empty sequence, or one whose segments do not fit its tokens",
          position: "sequence \(index)", remedy: "Give every sequence at least one token with its segment.")
      }
      positions.append(contentsOf: 0..<Int32(ids.count))
      starts.append(end)
    }
    tokenIDs = sequences.flatMap(\.self)
    self.typeIDs = typeIDs?.flatMap(\.self) ?? [Int32](repeating: 0, count: positions.count)
    self.positions = positions
    self.starts = starts
    guard self.typeIDs.count == positions.count else {
      throw RetortError(
        .invalidArgument, "segments of \(typeIDs?.count ?? 0) sequences for \(sequences.count)",
        remedy: "Give the segments of every sequence.")
    }
  }
}

/// A packed batch in the form that a backend's kernels read.
public protocol PreparedPackedBatch: AnyObject, Sendable {
  var packed: PackedBatch { get }
}
