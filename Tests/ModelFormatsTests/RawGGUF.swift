/// Puts a GGUF file together field by field, without any check, so that each field can lie.
struct RawGGUF {
  var magic: [UInt8] = Array("GGUF".utf8)
  var version: UInt32 = 3
  /// The counts that the header claims; nil for the true ones.
  var tensorCount: UInt64?
  var metadataCount: UInt64?
  var metadata: [[UInt8]] = []
  var tensors: [[UInt8]] = []
  var alignment = 32
  var data: [UInt8] = []

  var bytes: [UInt8] {
    var output = magic + RawGGUF.word(version)
    output += RawGGUF.word(tensorCount ?? UInt64(tensors.count))
    output += RawGGUF.word(metadataCount ?? UInt64(metadata.count))
    output += metadata.flatMap { $0 } + tensors.flatMap { $0 }
    output += [UInt8](repeating: 0, count: (alignment - output.count % alignment) % alignment)
    return output + data
  }

  static func word<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }

  /// A string with the length it claims; nil for the true one.
  static func string(_ text: [UInt8], length: UInt64? = nil) -> [UInt8] {
    word(length ?? UInt64(text.count)) + text
  }

  static func string(_ text: String) -> [UInt8] { string(Array(text.utf8)) }

  /// A key with the number of a value type and the value's bytes.
  static func pair(_ key: String, type: UInt32, _ value: [UInt8]) -> [UInt8] {
    string(key) + word(type) + value
  }

  /// A tensor's entry with its extents innermost first; by default one row of 8 Float32.
  static func tensor(
    _ name: String, rank: UInt32? = nil, extents: [UInt64] = [8], type: UInt32 = 0, offset: UInt64 = 0
  ) -> [UInt8] {
    string(name) + word(rank ?? UInt32(extents.count)) + extents.flatMap { word($0) } + word(type)
      + word(offset)
  }
}
