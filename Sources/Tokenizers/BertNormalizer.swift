import Foundation

/// BERT's text normalisation, as Hugging Face's `BertNormalizer` does it.
///
/// Classes of characters are those of Unicode 8, which that library carries; the few scalars that have changed
/// class since are listed.
public struct BertNormalizer: Sendable, Equatable {
  /// Whether control characters go and every white space becomes a space.
  public var cleansText: Bool
  /// Whether Chinese characters get spaces around them.
  public var separatesChinese: Bool
  /// Whether marks that take no room of their own are removed after decomposition (NFD).
  public var stripsAccents: Bool
  public var lowercases: Bool

  public init(
    cleansText: Bool = true, separatesChinese: Bool = true, stripsAccents: Bool? = nil,
    lowercases: Bool = true
  ) {
    self.cleansText = cleansText
    self.separatesChinese = separatesChinese
    self.stripsAccents = stripsAccents ?? lowercases
    self.lowercases = lowercases
  }

  /// The normalised scalars of a text.
  func apply(_ text: String) -> [Unicode.Scalar] {
    var scalars: [Unicode.Scalar] = []
    scalars.reserveCapacity(text.utf8.count)
    var isASCII = true
    for scalar in text.unicodeScalars {
      if scalar.value >= 0x80 { isASCII = false }
      if cleansText {
        if BertCharacters.isRemoved(scalar) { continue }
        if BertCharacters.isSpace(scalar) {
          scalars.append(" ")
          continue
        }
      }
      if separatesChinese, BertCharacters.isChinese(scalar) {
        scalars.append(contentsOf: [" ", scalar, " "])
      } else {
        scalars.append(scalar)
      }
    }
    if isASCII {
      return lowercases ? scalars.map(BertNormalizer.lowercasedASCII) : scalars
    }
    if stripsAccents {
      var decomposed = String.UnicodeScalarView()
      decomposed.append(contentsOf: scalars)
      scalars = BertNormalizer.decomposed(String(decomposed)).filter { !BertCharacters.isMark($0) }
    }
    guard lowercases else { return scalars }
    return scalars.flatMap { Array($0.properties.lowercaseMapping.unicodeScalars) }
  }

  private static func lowercasedASCII(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
    guard (0x41...0x5A).contains(scalar.value) else { return scalar }
    return Unicode.Scalar(UInt8(scalar.value + 0x20))
  }

  private static func decomposed(_ text: String) -> String.UnicodeScalarView {
    text.decomposedStringWithCanonicalMapping.unicodeScalars
  }
}

/// The classes of characters that BERT's normaliser and pre-tokeniser tell apart.
enum BertCharacters {
  private static func isOld(_ properties: Unicode.Scalar.Properties) -> Bool {
    properties.age.map { $0 <= (major: 8, minor: 0) } ?? false
  }

  /// Rust's `char::is_whitespace`.
  static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value < 0x80 { return scalar.value == 0x20 || (0x09...0x0D).contains(scalar.value) }
    return scalar.properties.isWhitespace
  }

  /// NUL, the replacement character, and controls other than tab, line feed and carriage return.
  static func isRemoved(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x09, 0x0A, 0x0D: return false
    case 0..<0x20, 0x7F..<0xA0, 0xFFFD: return true
    case 0x20..<0x7F: return false
    default: break
    }
    switch scalar.properties.generalCategory {
    case .control, .format: return isOld(scalar.properties)
    case .privateUse: return true
    default: return false
    }
  }

  static func isChinese(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x3400: false
    // The gap from 2B820 to 2B91F is the library's.
    case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B81F, 0x2B920...0x2CEAF,
      0xF900...0xFAFF, 0x2F800...0x2FA1F:
      true
    default: false
    }
  }

  /// A mark that takes no room of its own (category Mn).
  static func isMark(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x300: return false
    case 0x1734, 0x1171E: return true
    case 0x1885, 0x1886, 0xA9BD, 0x111C9: return false
    default: return scalar.properties.generalCategory == .nonspacingMark && isOld(scalar.properties)
    }
  }

  /// Punctuation, and every ASCII symbol that is no letter, digit or space.
  static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E, 0x166D, 0x111C9: return true
    case 0..<0x80: return false
    default: break
    }
    switch scalar.properties.generalCategory {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
      .finalPunctuation, .otherPunctuation:
      return isOld(scalar.properties)
    default: return false
    }
  }
}
