import Basics

/// The sum of a token's, its position's and its segment's rows (Devlin et al., 2018).
public struct EmbeddingSum: Operation {
  public static let name = "embedding_sum"
  public let rows: Int
  public let width: Int
  public let tables: Int

  /// - Throws: `shapeMismatch` where the tables differ in width; `invalidArgument` where an id, a position or a
  ///   segment is not in its table.
  public init(
    words: any EmbeddingTable, positions: any EmbeddingTable, types: (any EmbeddingTable)?,
    _ batch: PackedBatch
  ) throws {
    try Self.require(
      words.width == positions.width && types.map { $0.width == words.width } ?? true,
      "tables of different widths")
    try Self.check(batch.tokenIDs, words, "token id", "Use the tokenizer that belongs to the model.")
    try Self.check(batch.positions, positions, "position", "Cut the text to the model's longest input.")
    if let types {
      try Self.check(batch.typeIDs, types, "segment", "Use a model that was made for pairs.")
    }
    rows = batch.rows
    width = words.width
    tables = types == nil ? 2 : 3
  }

  private static func check(_ ids: [Int32], _ table: any EmbeddingTable, _ what: String, _ remedy: String)
    throws
  {
    guard let index = ids.firstIndex(where: { $0 < 0 || Int($0) >= table.rows }) else { return }
    throw RetortError(
      .invalidArgument, "\(what) \(ids[index]) is outside the table of \(table.rows) rows",
      position: "row \(index)", remedy: remedy)
  }

  public var outputShape: Shape { [rows, width] }
  public var flops: Int { rows * width * (tables - 1) }
  public var bytes: Int { rows * width * 4 * (tables + 1) }
}
