/// Texts as JSON string literals.
public enum JSONText {
  /// `text` in quotes (RFC 8259), with what must be escaped and what `escapes` also wants escaped.
  ///
  /// - Parameter escapes: asked for characters of the basic plane beyond U+001F.
  public static func quoted(_ text: String, escaping escapes: (Unicode.Scalar) -> Bool = { _ in false })
    -> String
  {
    var result = "\"".unicodeScalars
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result.append(contentsOf: "\\\"".unicodeScalars)
      case "\\": result.append(contentsOf: "\\\\".unicodeScalars)
      case "\n": result.append(contentsOf: "\\n".unicodeScalars)
      case "\r": result.append(contentsOf: "\\r".unicodeScalars)
      case "\t": result.append(contentsOf: "\\t".unicodeScalars)
      case _ where scalar.value < 0x20 || (scalar.value <= 0xFFFF && escapes(scalar)):
        let digits = String(scalar.value, radix: 16)
        let zeros = String(repeating: "0", count: 4 - digits.count)
        result.append(contentsOf: ("\\u" + zeros + digits).unicodeScalars)
      default: result.append(scalar)
      }
    }
    result.append("\"")
    return String(result)
  }
}
