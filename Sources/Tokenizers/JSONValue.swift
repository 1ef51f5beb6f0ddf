/// A JSON value; objects keep their members in file order.
enum JSONValue {
  case null
  case bool(Bool)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([Member])

  /// A named value of an object.
  struct Member {
    var key: String
    var value: JSONValue
  }

  /// The last member of that name, as most readers take it.
  subscript(_ key: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.last { $0.key == key }?.value
  }

  var asString: String? {
    guard case .string(let value) = self else { return nil }
    return value
  }

  var asBool: Bool? {
    guard case .bool(let value) = self else { return nil }
    return value
  }

  var asArray: [JSONValue]? {
    guard case .array(let value) = self else { return nil }
    return value
  }

  var members: [Member]? {
    guard case .object(let value) = self else { return nil }
    return value
  }

  /// A whole number that fits a token id.
  var id: Int32? {
    guard case .number(let value) = self else { return nil }
    return Int32(exactly: value)
  }

  var isNull: Bool {
    guard case .null = self else { return false }
    return true
  }
}
