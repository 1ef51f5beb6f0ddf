/// GPT-2's mapping of the 256 byte values to printable characters, in which byte-level vocabularies are written.
///
/// Printable Latin-1 bytes stand for themselves; the others, in order, for U+0100 and up.
enum ByteLevelAlphabet {
  /// The scalar value of each byte.
  static let scalars: [UInt16] = {
    var next: UInt16 = 0x100
    return (0..<256).map { (byte: UInt16) in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return byte
      default:
        defer { next += 1 }
        return next
      }
    }
  }()

  /// The byte of each scalar below U+0144, or -1.
  private static let bytes: [Int16] = {
    var table = [Int16](repeating: -1, count: 0x144)
    for (byte, scalar) in scalars.enumerated() { table[Int(scalar)] = Int16(byte) }
    return table
  }()

  /// A byte's character, in UTF-8.
  static func character(of byte: UInt8) -> [UInt8] {
    let scalar = scalars[Int(byte)]
    return scalar < 0x80 ? [UInt8(scalar)] : [UInt8(0xC0 | scalar >> 6), UInt8(0x80 | scalar & 0x3F)]
  }

  /// The bytes a token stands for; a token with a character outside the alphabet stands for itself.
  static func bytes(of token: UnsafeBufferPointer<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(token.count)
    var offset = 0
    while offset < token.count {
      let first = token[offset]
      var scalar = Int(first)
      if first >= 0x80 {
        guard first >= 0xC2, first < 0xE0, offset + 1 < token.count else { return Array(token) }
        scalar = Int(first & 0x1F) << 6 | Int(token[offset + 1] & 0x3F)
        offset += 1
      }
      offset += 1
      guard scalar < bytes.count, bytes[scalar] >= 0 else { return Array(token) }
      result.append(UInt8(bytes[scalar]))
    }
    return result
  }
}
