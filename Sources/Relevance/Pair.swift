import Basics

/// A query and an item to be judged.
public struct Pair: Sendable, Equatable {
  /// The input's `pair_id`, or `row-N` for the N-th row (from 1) where it has none.
  public let pairID: String
  /// True where ``pairID`` is not the input's.
  public let pairIDIsSynthesized: Bool
  public let queryID: String?
  public let query: String
  public let itemID: String?
  public let title: String
  public let description: String?
  public let attributes: String?
  /// The human label, as the input spells it.
  public let label: String?
  /// The annotators' mean, where the input gives one as a number.
  public let grade: Double?

  public init(
    pairID: String, pairIDIsSynthesized: Bool = false, queryID: String? = nil, query: String,
    itemID: String? = nil, title: String, description: String? = nil, attributes: String? = nil,
    label: String? = nil, grade: Double? = nil
  ) {
    self.pairID = pairID
    self.pairIDIsSynthesized = pairIDIsSynthesized
    self.queryID = queryID
    self.query = query
    self.itemID = itemID
    self.title = title
    self.description = description
    self.attributes = attributes
    self.label = label
    self.grade = grade
  }
}

extension Pair {
  /// Builds a pair from a row's fields; throws `malformedRow` naming the field.
  init(fields: [String: JSONValue], row: Int) throws {
    let given = try Pair.scalar("pair_id", fields)
    self.init(
      pairID: given ?? "row-\(row)", pairIDIsSynthesized: given == nil,
      queryID: try Pair.scalar("query_id", fields), query: try Pair.required("query", fields),
      itemID: try Pair.scalar("item_id", fields), title: try Pair.required("title", fields),
      description: try Pair.text("description", fields), attributes: try Pair.joined("attributes", fields),
      label: try Pair.scalar("label", fields), grade: Pair.number("grade", fields))
  }

  private static func required(_ name: String, _ fields: [String: JSONValue]) throws -> String {
    switch fields[name] {
    case nil, .null: throw problem("the field is missing", name, "Give every row a \(name).")
    case .string(let text):
      guard !text.flattenedLine.trimmedWhitespace.isEmpty else {
        throw problem("the field is empty", name, "Give every row a \(name).")
      }
      return text
    case .some(let other):
      throw problem("expected a string, found \(other.kind)", name, "Write the \(name) as a string.")
    }
  }

  private static func text(_ name: String, _ fields: [String: JSONValue]) throws -> String? {
    switch fields[name] {
    case nil, .null: return nil
    case .string(let text): return text.trimmedWhitespace.isEmpty ? nil : text
    case .some(let other):
      throw problem(
        "expected a string, found \(other.kind)", name, "Write the \(name) as a string or leave it out.")
    }
  }

  /// An id or a label: a string, or a number, whose digits are kept as they are.
  private static func scalar(_ name: String, _ fields: [String: JSONValue]) throws -> String? {
    if case .number(let digits)? = fields[name] { return digits }
    return try text(name, fields)
  }

  /// A finite number, also one written as text, as in a table; anything else is as good as absent.
  private static func number(_ name: String, _ fields: [String: JSONValue]) -> Double? {
    switch fields[name] {
    case .number(let digits), .string(let digits):
      Double(digits.trimmedWhitespace).flatMap { $0.isFinite ? $0 : nil }
    default: nil
    }
  }

  /// Attributes may also be an object or an array of plain values: `colour: red; size: 3`.
  private static func joined(_ name: String, _ fields: [String: JSONValue]) throws -> String? {
    var parts: [String] = []
    switch fields[name] {
    case .object(let entries):
      for key in entries.keys.sorted() {
        if let value = try plain(entries[key], name) { parts.append("\(key): \(value)") }
      }
    case .array(let items):
      for item in items {
        if let value = try plain(item, name) { parts.append(value) }
      }
    default:
      return try scalar(name, fields)
    }
    return parts.isEmpty ? nil : parts.joined(separator: "; ")
  }

  private static func plain(_ value: JSONValue?, _ name: String) throws -> String? {
    switch value {
    case nil, .null: return nil
    case .string(let text): return text.trimmedWhitespace.isEmpty ? nil : text
    case .number(let digits): return digits
    case .bool(let flag): return flag ? "yes" : "no"
    case .some(let other):
      throw problem(
        "expected plain values, found \(other.kind) inside", name, "Write the \(name) without nesting.")
    }
  }

  private static func problem(_ message: String, _ field: String, _ remedy: String) -> RetortError {
    RetortError(.malformedRow, message, field: field, remedy: remedy)
  }
}
