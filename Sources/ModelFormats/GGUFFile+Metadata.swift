import Basics

/// Typed access to metadata; a key that is absent or of another type is named in the error.
extension GGUFFile {
  public func string(_ key: String) throws -> String {
    guard case .string(let value) = try required(key) else { throw wrongType(key, "a string") }
    return value
  }

  public func integer(_ key: String) throws -> Int {
    guard case .integer(let value) = try required(key) else { throw wrongType(key, "an integer") }
    return Int(value)
  }

  /// A float, or an integer as one.
  public func float(_ key: String) throws -> Double {
    switch try required(key) {
    case .float(let value): return value
    case .integer(let value): return Double(value)
    default: throw wrongType(key, "a number")
    }
  }

  public func bool(_ key: String) throws -> Bool {
    guard case .bool(let value) = try required(key) else { throw wrongType(key, "true or false") }
    return value
  }

  public func strings(_ key: String) throws -> [String] {
    guard case .array(let array) = try required(key), array.element == .string else {
      throw wrongType(key, "an array of strings")
    }
    var reader = reader(at: array.offset)
    var values: [String] = []
    values.reserveCapacity(array.count)
    for _ in 0..<array.count { values.append(try reader.string(key)) }
    return values
  }

  public func integers(_ key: String) throws -> [Int] {
    try numbers(key, "an array of integers") { value in
      guard case .integer(let integer) = value else { return nil }
      return Int(integer)
    }
  }

  public func floats(_ key: String) throws -> [Double] {
    try numbers(key, "an array of floats") { value in
      guard case .float(let float) = value else { return nil }
      return float
    }
  }

  /// Elements of an array; 0 where the key is absent or not an array.
  public func arrayCount(_ key: String) -> Int {
    guard case .array(let array) = metadata[key] else { return 0 }
    return array.count
  }

  public func has(_ key: String) -> Bool { metadata[key] != nil }

  private func numbers<T>(_ key: String, _ expected: String, _ convert: (GGUFValue) -> T?) throws -> [T] {
    guard case .array(let array) = try required(key), array.element.size != nil else {
      throw wrongType(key, expected)
    }
    var reader = reader(at: array.offset)
    var values: [T] = []
    values.reserveCapacity(array.count)
    for _ in 0..<array.count {
      guard let value = convert(try reader.value(array.element, key)) else { throw wrongType(key, expected) }
      values.append(value)
    }
    return values
  }

  private func required(_ key: String) throws -> GGUFValue {
    guard let value = metadata[key] else { throw GGUFFile.malformed(path, key, "the key is missing") }
    return value
  }

  private func wrongType(_ key: String, _ expected: String) -> RetortError {
    let found = metadata[key]?.typeName ?? "nothing"
    return GGUFFile.malformed(path, key, "found \(found), expected \(expected)")
  }
}
