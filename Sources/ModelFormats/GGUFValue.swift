import Basics

/// A metadata value of a GGUF file; arrays stay in the file until asked for.
public enum GGUFValue: Sendable {
  case integer(Int64)
  /// A 64-bit unsigned value above `Int64.max`.
  case unsigned(UInt64)
  case float(Double)
  case bool(Bool)
  case string(String)
  case array(GGUFArray)

  var typeName: String {
    switch self {
    case .integer, .unsigned: "integer"
    case .float: "float"
    case .bool: "bool"
    case .string: "string"
    case .array(let array): "array of \(array.element)"
    }
  }
}

/// An array in a GGUF file: its elements' type, count and place.
public struct GGUFArray: Sendable {
  let element: GGUFType
  let count: Int
  let offset: Int
}

/// Value types of GGUF metadata, numbered as in the file.
public enum GGUFType: UInt32, Sendable, CaseIterable {
  case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

  /// Bytes of a value of fixed size; nil for strings and arrays.
  var size: Int? {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64: 8
    case .string, .array: nil
    }
  }
}

extension ByteReader {
  mutating func type(_ field: String) throws -> GGUFType {
    let at = offset
    let raw = try integer(UInt32.self, field)
    guard let type = GGUFType(rawValue: raw) else {
      throw RetortError(
        .malformedFile, "unknown value type \(raw)", file: file, field: field, position: "byte \(at)",
        remedy: RetortError.fetchAgain)
    }
    return type
  }

  mutating func value(_ type: GGUFType, _ field: String, depth: Int = 0) throws -> GGUFValue {
    switch type {
    case .uint8: .integer(Int64(try integer(UInt8.self, field)))
    case .int8: .integer(Int64(try integer(Int8.self, field)))
    case .uint16: .integer(Int64(try integer(UInt16.self, field)))
    case .int16: .integer(Int64(try integer(Int16.self, field)))
    case .uint32: .integer(Int64(try integer(UInt32.self, field)))
    case .int32: .integer(Int64(try integer(Int32.self, field)))
    case .int64: .integer(try integer(Int64.self, field))
    case .uint64: unsigned(try integer(UInt64.self, field))
    case .float32: .float(Double(try float(field)))
    case .float64: .float(try double(field))
    case .bool: .bool(try integer(UInt8.self, field) != 0)
    case .string: .string(try string(field))
    case .array: try array(field, depth: depth)
    }
  }

  private func unsigned(_ value: UInt64) -> GGUFValue {
    Int64(exactly: value).map(GGUFValue.integer) ?? .unsigned(value)
  }

  private mutating func array(_ field: String, depth: Int) throws -> GGUFValue {
    guard depth < 4 else {
      throw RetortError(
        .malformedFile, "arrays nested deeper than 4", file: file, field: field,
        position: "byte \(offset)", remedy: RetortError.fetchAgain)
    }
    let element = try type(field)
    let count = try count(field, itemBytes: element.size ?? 8)
    let start = offset
    if let size = element.size {
      try skip(count * size, field)
    } else {
      for _ in 0..<count {
        if element == .string { _ = try stringBytes(field) } else { _ = try array(field, depth: depth + 1) }
      }
    }
    return .array(GGUFArray(element: element, count: count, offset: start))
  }
}
