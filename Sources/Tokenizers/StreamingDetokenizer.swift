/// Turns a stream of token ids into text without ever giving out half a character.
///
/// The increments, with ``finish()``, join to what ``Tokenizer/decode(_:skipSpecial:)`` gives for all the ids.
public struct StreamingDetokenizer: Sendable {
  private let tokenizer: Tokenizer
  private let skipSpecial: Bool
  private var pending: [UInt8] = []

  public init(_ tokenizer: Tokenizer, skipSpecial: Bool = true) {
    self.tokenizer = tokenizer
    self.skipSpecial = skipSpecial
  }

  /// The text that is certain once this token is known; empty while a character is incomplete.
  public mutating func append(_ id: Int32) -> String {
    if skipSpecial, tokenizer.isSpecial(id) { return "" }
    pending.append(contentsOf: tokenizer.tokenBytes(id))
    let held = StreamingDetokenizer.incompleteSuffix(pending)
    let text = String(decoding: pending.dropLast(held), as: UTF8.self)
    pending.removeFirst(pending.count - held)
    return text
  }

  /// The text of what is left; an unfinished character becomes U+FFFD.
  public mutating func finish() -> String {
    defer { pending.removeAll() }
    return String(decoding: pending, as: UTF8.self)
  }

  /// How many bytes at the end begin a character that later bytes may complete.
  private static func incompleteSuffix(_ bytes: [UInt8]) -> Int {
    for length in 1...3 where length <= bytes.count {
      let lead = bytes[bytes.count - length]
      if lead & 0xC0 == 0x80 { continue }
      let needed = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 1
      guard lead <= 0xF4, length < needed else { return 0 }
      return length == 1 || isPossibleSecond(bytes[bytes.count - length + 1], after: lead) ? length : 0
    }
    return 0
  }

  /// Whether a continuation byte may follow a lead byte (Unicode standard, table 3-7).
  private static func isPossibleSecond(_ byte: UInt8, after lead: UInt8) -> Bool {
    switch lead {
    case 0xE0: byte >= 0xA0
    case 0xED: byte < 0xA0
    case 0xF0: byte >= 0x90
    case 0xF4: byte < 0x90
    default: true
    }
  }
}
