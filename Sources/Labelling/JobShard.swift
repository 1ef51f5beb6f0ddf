import Basics
import Relevance

/// One of several parts of an input that are labelled apart: all pairs of a query fall into the same part.
public struct JobShard: Sendable, Hashable, CustomStringConvertible {
  /// From 1 to ``count``.
  public let index: Int
  public let count: Int

  /// - Throws: `invalidArgument` where the index is not from 1 to the count.
  public init(index: Int, count: Int) throws {
    guard count >= 1, count <= 1 << 20, index >= 1, index <= count else {
      throw JobShard.problem("\(index)/\(count)")
    }
    self.index = index
    self.count = count
  }

  /// Parses `I/N`.
  ///
  /// - Throws: `invalidArgument` where it is anything else.
  public init(_ text: String) throws {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
    guard parts.count == 2, let index = parts[0], let count = parts[1] else { throw JobShard.problem(text) }
    try self.init(index: index, count: count)
  }

  public var description: String { "\(index)/\(count)" }

  /// Whether a row belongs to this part: by its query's hash, or by its number (from 0) where it has no query
  /// because it could not be read.
  public func contains(_ row: PairReader.Row, number: Int) -> Bool {
    guard count > 1 else { return true }
    guard case .pair(let pair, _) = row else { return number % count == index - 1 }
    let hash = SHA256.digest(pair.query.utf8).prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    return hash % UInt64(count) == UInt64(index - 1)
  }

  private static func problem(_ text: String) -> RetortError {
    RetortError(
      .invalidArgument, "\"\(text)\" names no shard", field: "shard",
      remedy: "Give the shard's number and the number of shards, from 1/8 to 8/8 for example.")
  }
}
