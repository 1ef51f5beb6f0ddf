import Foundation

/// Unicode Normalization Form C, with a quick check so that most text is not touched.
enum NormalizationFormC {
  static func apply(_ text: String) -> String {
    if isSurelyNormalized(text) { return text }
    // Foundation composes across variation selectors and tags, which must block; they change nothing else, so
    // what lies between them is normalised apart.
    var result = String.UnicodeScalarView()
    var pending = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      guard isBlocker(scalar) else {
        pending.append(scalar)
        continue
      }
      result.append(contentsOf: String(pending).precomposedStringWithCanonicalMapping.unicodeScalars)
      pending = String.UnicodeScalarView()
      result.append(scalar)
    }
    result.append(contentsOf: String(pending).precomposedStringWithCanonicalMapping.unicodeScalars)
    return String(result)
  }

  private static func isBlocker(_ scalar: Unicode.Scalar) -> Bool {
    (0xFE00...0xFE0F).contains(scalar.value) || (0xE0000...0xE0FFF).contains(scalar.value)
  }

  /// Whether every scalar is one that is its own form and never combines with the scalar before it.
  private static func isSurelyNormalized(_ text: String) -> Bool {
    text.unicodeScalars.allSatisfy { scalar in
      switch scalar.value {
      case 0..<0x300, 0x400..<0x483, 0x48A..<0x530, 0x3041..<0x3097, 0x30A1..<0x30FB, 0x4E00..<0xA000,
        0xAC00..<0xD7A4, 0x2010..<0x2028, 0x3001..<0x3020, 0xFF01..<0xFFF0, 0x1F300..<0x1FB00:
        true
      default: false
      }
    }
  }
}
