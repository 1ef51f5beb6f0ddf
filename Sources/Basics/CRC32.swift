/// The CRC-32 of zlib, gzip and PNG (reflected polynomial EDB88320), eight bytes at a time ("slicing by 8").
///
/// It finds every error of up to 32 neighbouring bits, and misses another one with a probability of 2⁻³²: enough
/// against a disk's mistakes, no protection against intent.
public struct CRC32: Sendable {
  private var state: UInt32 = 0xFFFF_FFFF

  public init() {}

  /// Of all bytes so far.
  public var value: UInt32 { ~state }

  /// Eight lower-case hexadecimal digits.
  public var text: String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 8 - digits.count) + digits
  }

  /// Takes further bytes in.
  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    var crc = state
    var place = 0
    CRC32.tables.withUnsafeBufferPointer { tables in
      while bytes.count - place >= 8 {
        let word =
          UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self)) ^ UInt64(crc)
        crc = 0
        for byte in 0..<8 {
          let value = Int(truncatingIfNeeded: word >> UInt64(8 * byte)) & 255
          crc ^= tables[(7 - byte) * 256 + value]
        }
        place += 8
      }
      while place < bytes.count {
        crc = (crc >> 8) ^ tables[Int((crc ^ UInt32(bytes[place])) & 255)]
        place += 1
      }
    }
    state = crc
  }

  /// Of a file's bytes.
  ///
  /// - Throws: `fileUnavailable`.
  public static func text(file path: String) throws -> String {
    let file = try MappedFile(path: path)
    var checksum = CRC32()
    withExtendedLifetime(file) { checksum.update(file.bytes) }
    return checksum.text
  }

  /// For each distance from the end of a word of eight bytes, what each byte there adds.
  private static let tables: [UInt32] = {
    var tables: [UInt32] = []
    for byte in 0..<UInt32(256) {
      var crc = byte
      for _ in 0..<8 { crc = crc & 1 == 1 ? (crc >> 1) ^ 0xEDB8_8320 : crc >> 1 }
      tables.append(crc)
    }
    for place in 256..<2048 {
      let previous = tables[place - 256]
      tables.append((previous >> 8) ^ tables[Int(previous & 255)])
    }
    return tables
  }()
}
