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
  /// CSV has a header, then `pair_id,query_id,item_id,label,score`, `p_<label>` for each label of the first
  /// record by name, `rationale,prompt_tokens,generated_tokens,model,prompt_hash`; quotes as in RFC 4180.
  /// - Throws: `malformedFile` where a row of the ledger is no record.
  public static func write(_ ledger: LedgerReader, as format: Format, to sink: (String) throws -> Void) throws
  {
    var labels: [String]?
    var number = 0
    try ledger.forEach(.done) { row, _, text in
      number += 1
      switch format {
      case .jsonLines: try sink(String(decoding: text, as: UTF8.self) + "\n")
      case .csv:
        guard case .object(let record)? = try? JSONValue.parse(Array(text)) else {
          throw SQLiteDatabase.malformed(ledger.path, "row \(row) is not a record")
        }
        let names = labels ?? names(record)
        if labels == nil { try sink(header(names)) }
        labels = names
        try sink(line(record, names))
      }
    }
    if format == .csv, labels == nil { try sink(header([])) }
  }

  private static let front = ["pair_id", "query_id", "item_id", "label", "score"]
  private static let back = [
    "rationale", "prompt_tokens", "generated_tokens", "jumped_tokens", "truncated", "model", "prompt_hash",
  ]

  private static func names(_ record: [String: JSONValue]) -> [String] {
    object(record["probabilities"]).keys.sorted()
  }

  private static func header(_ labels: [String]) -> String {
    (front + labels.map { "p_" + $0 } + back).map(quoted).joined(separator: ",") + "\n"
  }

  private static func line(_ record: [String: JSONValue], _ labels: [String]) -> String {
    let probabilities = object(record["probabilities"])
    let tokens = object(record["tokens"])
    var cells = front.map { plain(record[$0]) }
    cells += labels.map { plain(probabilities[$0]) }
    cells += [plain(record["rationale"]), plain(tokens["prompt"]), plain(tokens["generated"])]
    cells += [
      plain(tokens["jumped"]), plain(record["truncated"]), plain(record["model"]),
      plain(record["prompt_hash"]),
    ]
    return cells.map(quoted).joined(separator: ",") + "\n"
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
