/// A JSON value; objects keep their members in file order.
package enum JSONValue: Sendable {
  case null
  case bool(Bool)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([Member])

  /// A named value of an object.
  package struct Member: Sendable {
    package var key: String
    package var value: JSONValue
  }

  /// The last member of that name, as most readers take it.
  package subscript(_ key: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.last { $0.key == key }?.value
  }

  package var asString: String? {
    guard case .string(let value) = self else { return nil }
    return value
  }

  package var asBool: Bool? {
    guard case .bool(let value) = self else { return nil }
    return value
  }

  package var asArray: [JSONValue]? {
    guard case .array(let value) = self else { return nil }
    return value
  }

  package var members: [Member]? {
    guard case .object(let value) = self else { return nil }
    return value
  }

  /// A whole number that fits a token id.
  package var id: Int32? {
    guard case .number(let value) = self else { return nil }
    return Int32(exactly: value)
  }

  package var isNull: Bool {
    guard case .null = self else { return false }
    return true
  }
}
