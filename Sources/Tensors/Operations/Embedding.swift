import Basics

/// Rows of a table by token id.
public struct Embedding: Operation {
  public static let name = "embedding"
  public let rows: Int
  public let width: Int

  /// - Throws: `invalidArgument` where an id is not in the table.
  public init(table: any EmbeddingTable, ids: [Int32]) throws {
    if let index = ids.firstIndex(where: { $0 < 0 || Int($0) >= table.rows }) {
      throw RetortError(
        .invalidArgument, "token id \(ids[index]) is outside the table of \(table.rows) rows",
        position: "row \(index)", remedy: "Use the tokenizer that belongs to the model.")
    }
    rows = ids.count
    width = table.width
  }

  public var outputShape: Shape { [rows, width] }
  public var flops: Int { 0 }
  public var bytes: Int { rows * width * 8 }
}
