import Basics
import Foundation

/// A JSON object read from a file, with typed access that names the key in errors.
struct JSONFile {
  let path: String
  let root: [String: Any]

  init(path: String) throws {
    let mapped = try MappedFile(path: path)
    try self.init(Data(mapped.bytes), path: path)
  }

  init(_ data: Data, path: String) throws {
    self.path = path
    let parsed: Any
    do {
      parsed = try JSONSerialization.jsonObject(with: data)
    } catch {
      throw GGUFFile.malformed(path, "JSON", "the text is not valid JSON")
    }
    guard let object = parsed as? [String: Any] else {
      throw GGUFFile.malformed(path, "JSON", "the top level is not an object")
    }
    root = object
  }

  func string(_ key: String) throws -> String {
    guard let value = root[key] as? String else { throw missing(key, "a string") }
    return value
  }

  func integer(_ key: String) throws -> Int {
    guard let value = try optionalInteger(key) else { throw missing(key, "a whole number") }
    return value
  }

  func optionalInteger(_ key: String) throws -> Int? {
    guard let value = root[key], !(value is NSNull) else { return nil }
    guard let number = value as? NSNumber, let integer = Int(exactly: number.doubleValue) else {
      throw missing(key, "a whole number")
    }
    return integer
  }

  func optionalNumber(_ key: String) throws -> Double? {
    guard let value = root[key], !(value is NSNull) else { return nil }
    guard let number = value as? NSNumber else { throw missing(key, "a number") }
    return number.doubleValue
  }

  func optionalString(_ key: String) -> String? { root[key] as? String }

  func optionalBool(_ key: String) throws -> Bool? { try optional(key, "true or false") }

  func optionalObject(_ key: String) throws -> [String: Any]? { try optional(key, "an object") }

  /// The value, or nil where the key is absent or null: a value of another type must not pass for either.
  private func optional<Value>(_ key: String, _ expected: String) throws -> Value? {
    guard let value = root[key], !(value is NSNull) else { return nil }
    guard let typed = value as? Value else { throw missing(key, expected) }
    return typed
  }

  private func missing(_ key: String, _ expected: String) -> RetortError {
    GGUFFile.malformed(path, key, root[key] == nil ? "the key is missing" : "expected \(expected)")
  }
}
