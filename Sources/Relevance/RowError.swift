import Basics

/// A row that could not be read or labelled; the job goes on without it.
public struct RowError: Error, Sendable, Equatable {
  /// The line of the file where the row starts, from 1.
  public let line: Int
  /// The pair's id, where the row got as far as having one.
  public let pairID: String?
  public let reason: RetortError

  public init(line: Int, pairID: String? = nil, reason: RetortError) {
    self.line = line
    self.pairID = pairID
    self.reason = reason
  }

  /// The error as JSON on one line: `line`, `pair_id` (where known), `code`, `field` (where there is one), `reason`, `remedy`.
  public var json: String {
    var writer = JSONWriter()
    writer.object { record in
      record.field("line", line)
      if let pairID { record.field("pair_id", pairID) }
      record.field("code", reason.code.rawValue)
      if let field = reason.field { record.field("field", field) }
      record.field("reason", reason.message)
      record.field("remedy", reason.remedy)
    }
    return writer.text
  }
}
