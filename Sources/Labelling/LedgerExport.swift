import Basics
import Relevance

/// Finished records as they are, or as a table for other programs.
public enum LedgerExport {
  public enum Format: String, Sendable, CaseIterable {
    case jsonLines = "jsonl"
    case csv
  }

  /// Hands out the labelled rows finished so far in input order, a line at a time with its line break.
  ///
  /// CSV has a header, then `pair_id,query_id,item_id,label,score`, `p_<label>` for each label of the first record by
  /// name, where that record has votes `votes_<label>` and `vote_share,entropy`, then `rationale`, `verdict_<aspect>`
  /// for each of its aspects by name, `prompt_tokens,generated_tokens,jumped_tokens,truncated,model,prompt_hash`;
  /// quotes as in RFC 4180.
  /// - Throws: `malformedFile` where a row of the ledger is no record.
  public static func write(_ ledger: LedgerReader, as format: Format, to sink: (String) throws -> Void) throws
  {
    var columns: [Column]?
    try ledger.forEach(.done) { row, _, text in
      switch format {
      case .jsonLines: try sink(String(decoding: text, as: UTF8.self) + "\n")
      case .csv:
        guard case .object(let record)? = try? JSONValue.parse(Array(text)) else {
          throw SQLiteDatabase.malformed(ledger.path, "row \(row) is not a record")
        }
        let known = columns ?? Self.columns(record)
        if columns == nil { try sink(line(known.map(\.title))) }
        columns = known
        try sink(line(known.map { $0.cell(record) }))
      }
    }
    if format == .csv, columns == nil { try sink(line(Self.columns([:]).map(\.title))) }
  }

  /// A column of the table: a field of the record, or an entry of one of its objects.
  private struct Column {
    let title: String
    let field: String
    var entry: String?

    func cell(_ record: [String: JSONValue]) -> String {
      plain(entry.map { object(record[field])[$0] } ?? record[field])
    }
  }

  private static func columns(_ record: [String: JSONValue]) -> [Column] {
    func fields(_ names: [String]) -> [Column] { names.map { Column(title: $0, field: $0) } }
    func entries(_ field: String, _ prefix: String) -> [Column] {
      object(record[field]).keys.sorted().map { Column(title: prefix + $0, field: field, entry: $0) }
    }
    let votes = record["votes"] == nil ? [] : entries("votes", "votes_") + fields(["vote_share", "entropy"])
    let tokens = ["prompt", "generated", "jumped"].map {
      Column(title: $0 + "_tokens", field: "tokens", entry: $0)
    }
    return fields(["pair_id", "query_id", "item_id", "label", "score"]) + entries("probabilities", "p_")
      + votes
      + fields(["rationale"]) + entries("verdicts", "verdict_") + tokens
      + fields(["truncated", "model", "prompt_hash"])
  }

  private static func line(_ cells: [String]) -> String {
    cells.map(quoted).joined(separator: ",") + "\n"
  }

  private static func object(_ value: JSONValue?) -> [String: JSONValue] {
    if case .object(let fields)? = value { return fields }
    return [:]
  }

  private static func plain(_ value: JSONValue?) -> String {
    switch value {
    case .string(let text), .number(let text): text
    case .bool(let flag): flag ? "true" : "false"
    default: ""
    }
  }

  private static func quoted(_ text: String) -> String {
    let needsQuotes = text.utf8.contains { [0x22, 0x2C, 0x0A, 0x0D].contains($0) }
    return needsQuotes ? "\"" + text.replacing("\"", with: "\"\"") + "\"" : text
  }
}
