/// The character classes the pre-tokenizer expressions name, by Unicode scalar.
///
/// Letters and numbers are those of Unicode 16, the version Hugging Face's expression engine (Oniguruma)
/// carries; a later scalar counts as neither. The digits rule of SmolLM is not an expression there and follows
/// the newest version.
final class CharacterClasses: Sendable {
  static let letter: UInt8 = 1
  static let number: UInt8 = 2
  static let space: UInt8 = 4
  static let newline: UInt8 = 8
  static let digit: UInt8 = 16

  static let shared = CharacterClasses()

  /// One class byte a scalar; planes above hold no letters, numbers or spaces.
  private let table: [UInt8]
  private static let tableSize: UInt32 = 0x32400
  private static let lastVersion = (major: 16, minor: 0)

  private init() {
    table = (0..<CharacterClasses.tableSize).map { value in
      Unicode.Scalar(value).map(CharacterClasses.classify) ?? 0
    }
  }

  @inline(__always)
  func bits(_ scalar: UInt32) -> UInt8 {
    scalar < CharacterClasses.tableSize ? table[Int(scalar)] : 0
  }

  private static func classify(_ scalar: Unicode.Scalar) -> UInt8 {
    let properties = scalar.properties
    var bits: UInt8 = 0
    let isKnown = properties.age.map { $0 <= lastVersion } ?? false
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      if isKnown { bits |= letter }
    case .decimalNumber, .letterNumber, .otherNumber:
      bits |= isKnown ? number | digit : digit
    default: break
    }
    if properties.isWhitespace { bits |= space }
    if scalar == "\r" || scalar == "\n" { bits |= newline }
    return bits
  }
}

/// Reads scalars and their classes out of valid UTF-8.
struct ScalarCursor {
  let text: UnsafeBufferPointer<UInt8>
  let classes: CharacterClasses

  /// A scalar's class bits and length in bytes.
  struct Step {
    var bits: UInt8
    var length: Int

    @inline(__always) var isLetter: Bool { bits & CharacterClasses.letter != 0 }
    @inline(__always) var isNumber: Bool { bits & CharacterClasses.number != 0 }
    @inline(__always) var isDigit: Bool { bits & CharacterClasses.digit != 0 }
    @inline(__always) var isSpace: Bool { bits & CharacterClasses.space != 0 }
    @inline(__always) var isNewline: Bool { bits & CharacterClasses.newline != 0 }
    /// Neither space, letter nor number.
    @inline(__always) var isSymbol: Bool {
      bits & (CharacterClasses.letter | CharacterClasses.number | CharacterClasses.space) == 0
    }
  }

  @inline(__always)
  func byte(_ offset: Int, _ limit: Int) -> UInt8 { offset < limit ? text[offset] : 0 }

  /// The scalar at `offset`, which must be below `limit`.
  @inline(__always)
  func step(_ offset: Int, _ limit: Int) -> Step {
    let first = text[offset]
    if first < 0x80 { return Step(bits: classes.bits(UInt32(first)), length: 1) }
    return wideStep(first, offset, limit)
  }

  private func wideStep(_ first: UInt8, _ offset: Int, _ limit: Int) -> Step {
    let length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
    guard offset &+ length <= limit else { return Step(bits: 0, length: limit &- offset) }
    var scalar = UInt32(first) & (length == 2 ? 0x1F : length == 3 ? 0x0F : 0x07)
    for i in 1..<length { scalar = scalar << 6 | UInt32(text[offset &+ i] & 0x3F) }
    return Step(bits: classes.bits(scalar), length: length)
  }

  /// The first offset from `start` whose scalar fails `predicate`.
  @inline(__always)
  func skip(from start: Int, _ limit: Int, while predicate: (Step) -> Bool) -> Int {
    var offset = start
    while offset < limit {
      let step = step(offset, limit)
      guard predicate(step) else { break }
      offset &+= step.length
    }
    return offset
  }

  /// The end of a run of white space under `\s+(?!\S)|\s+`: the last space is left to what follows it.
  @inline(__always)
  func endOfSpaces(from start: Int, _ limit: Int) -> Int {
    var offset = start
    var last = start
    while offset < limit {
      let step = step(offset, limit)
      guard step.isSpace else { return last > start ? last : offset }
      last = offset
      offset &+= step.length
    }
    return limit
  }
}
