import Basics

/// A row that could not be read; the job goes on without it.
public struct RowError: Error, Sendable, Equatable {
  /// The line of the file where the row starts, from 1.
  public let line: Int
  public let reason: RetortError

  public init(line: Int, reason: RetortError) {
    self.line = line
    self.reason = reason
  }

  /// The error as JSON on one line: `line`, `code`, `field` (where there is one), `reason`, `remedy`.
  public var json: String {
    var writer = JSONWriter()
    writer.object { record in
      record.field("line", line)
      record.field("code", reason.code.rawValue)
      if let field = reason.field { record.field("field", field) }
      record.field("reason", reason.message)
      record.field("remedy", reason.remedy)
    }
    return writer.text
  }
}
