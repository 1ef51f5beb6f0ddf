import Basics

/// Reads little-endian values from bytes, checking every length before it is used.
struct ByteReader {
  let bytes: UnsafeRawBufferPointer
  let file: String
  private(set) var offset = 0

  init(_ bytes: UnsafeRawBufferPointer, file: String, offset: Int = 0) {
    self.bytes = bytes
    self.file = file
    self.offset = offset
  }

  var remaining: Int { bytes.count - offset }

  mutating func integer<T: FixedWidthInteger>(_: T.Type, _ field: String) throws -> T {
    let size = MemoryLayout<T>.size
    guard remaining >= size else { throw truncated(field) }
    defer { offset += size }
    return T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
  }

  mutating func float(_ field: String) throws -> Float { Float(bitPattern: try integer(UInt32.self, field)) }

  mutating func double(_ field: String) throws -> Double {
    Double(bitPattern: try integer(UInt64.self, field))
  }

  /// A count or length that must fit what is left, each item taking at least `itemBytes`.
  mutating func count(_ field: String, itemBytes: Int) throws -> Int {
    let at = offset
    let value = try integer(UInt64.self, field)
    guard value <= UInt64(remaining / max(1, itemBytes)) else {
      throw RetortError(
        .malformedFile, "a count of \(value) is more than the file can hold", file: file, field: field,
        position: "byte \(at)", remedy: RetortError.fetchAgain)
    }
    return Int(value)
  }

  mutating func string(_ field: String) throws -> String {
    let at = offset
    let raw = try stringBytes(field)
    guard let text = String(validating: raw, as: UTF8.self) else {
      throw RetortError(
        .malformedFile, "text that is not UTF-8", file: file, field: field, position: "byte \(at)",
        remedy: RetortError.fetchAgain)
    }
    return text
  }

  mutating func stringBytes(_ field: String) throws -> UnsafeRawBufferPointer {
    let length = try count(field, itemBytes: 1)
    defer { offset += length }
    return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length])
  }

  mutating func skip(_ count: Int, _ field: String) throws {
    guard count >= 0, remaining >= count else { throw truncated(field) }
    offset += count
  }

  func truncated(_ field: String) -> RetortError {
    RetortError(
      .malformedFile, "the file ends too early", file: file, field: field, position: "byte \(offset)",
      remedy: RetortError.fetchAgain)
  }
}

extension RetortError {
  static let fetchAgain = "The file is damaged or not what it claims to be; fetch or convert it again."
}
