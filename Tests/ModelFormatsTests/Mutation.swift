/// Damages bytes the way broken downloads and hostile files do; the same draw gives the same damage.
enum Mutation {
  /// Values that length and offset fields are overwritten with.
  static let extremes: [UInt64] = [
    0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 32, 1 << 40, 1 << 61,
    1 << 62,
    UInt64(Int64.max), 1 << 63, .max - 7, .max - 1, .max,
  ]

  /// Applies one to three mutations, most of them within the first `header` bytes.
  static func mutate(_ original: [UInt8], header: Int, _ draw: inout Draw) -> [UInt8] {
    var bytes = original
    for _ in 0...draw.below(3) {
      guard bytes.count > 8 else { break }
      let limit = draw.below(10) == 0 ? bytes.count : min(header, bytes.count)
      let at = draw.below(limit)
      switch draw.below(8) {
      case 0: for _ in 0...draw.below(4) { bytes[draw.below(limit)] ^= 1 << UInt8(draw.below(8)) }
      case 1: bytes.removeSubrange(at...)
      case 2: overwrite(&bytes, at, extremes[draw.below(extremes.count)], size: 8)
      case 3: overwrite(&bytes, at, extremes[draw.below(extremes.count)], size: 4)
      // Small numbers stand for other value types, tensor types and ranks.
      case 4: overwrite(&bytes, at, UInt64(draw.below(34)), size: 4)
      case 5: splice(&bytes, at, &draw, insert: true)
      case 6: splice(&bytes, at, &draw, insert: false)
      default: bytes.removeSubrange(at..<min(bytes.count, at + 1 + draw.below(24)))
      }
    }
    return bytes
  }

  private static func overwrite(_ bytes: inout [UInt8], _ at: Int, _ value: UInt64, size: Int) {
    for index in 0..<size where at + index < bytes.count {
      bytes[at + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
    }
  }

  /// Copies a piece of the file to another place, between or over what is there.
  private static func splice(_ bytes: inout [UInt8], _ at: Int, _ draw: inout Draw, insert: Bool) {
    let from = draw.below(bytes.count)
    let piece = Array(bytes[from..<min(bytes.count, from + 1 + draw.below(64))])
    let end = insert ? at : min(bytes.count, at + piece.count)
    bytes.replaceSubrange(at..<end, with: piece)
  }

  /// What a value in JSON is replaced by.
  static let values = [
    "0", "-1", "1.5", "1e400", "-0.0", "9007199254740993", "9223372036854775807", "9223372036854775808",
    "99999999999999999999999", "null", "true", "\"x\"", "\"\\u0000\"", "\"\\ud800\"", "[]", "{}", "[[[[1]]]]",
    "{\"a\":{\"b\":[]}}", "1 2", "\"", "",
  ]

  /// Replaces numbers and names in JSON by others, keeping the rest readable.
  static func mutate(json original: [UInt8], _ draw: inout Draw) -> [UInt8] {
    var bytes = original
    for _ in 0...draw.below(2) {
      let runs = tokens(bytes)
      guard !runs.isEmpty else { break }
      let run = runs[draw.below(runs.count)]
      let other = runs[draw.below(runs.count)]
      let replacement =
        draw.below(4) == 0 ? Array(bytes[other]) : Array(values[draw.below(values.count)].utf8)
      bytes.replaceSubrange(run, with: replacement)
    }
    return bytes
  }

  /// The places of strings (with their quotes) and of runs of other value characters.
  private static func tokens(_ bytes: [UInt8]) -> [Range<Int>] {
    var runs: [Range<Int>] = []
    var index = 0
    while index < bytes.count {
      let start = index
      if bytes[index] == UInt8(ascii: "\"") {
        index += 1
        while index < bytes.count, bytes[index] != UInt8(ascii: "\"") { index += 1 }
        index = min(bytes.count, index + 1)
        runs.append(start..<index)
      } else if "{}[]:, \n".utf8.contains(bytes[index]) {
        index += 1
      } else {
        while index < bytes.count, !"{}[]:, \n\"".utf8.contains(bytes[index]) { index += 1 }
        runs.append(start..<index)
      }
    }
    return runs
  }
}
