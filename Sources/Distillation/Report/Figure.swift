import Foundation
import Relevance

/// Numbers as the report writes them.
enum Figure {
  /// What stands for a value that is not there.
  static let absent = "–"

  /// A fixed number of decimals, with a real minus sign.
  static func text(_ value: Double?, decimals: Int = 3, signed: Bool = false) -> String {
    guard let value, value.isFinite else { return absent }
    let digits = String(format: "%.\(max(0, decimals))f", abs(value))
    let isZero = digits.allSatisfy { $0 == "0" || $0 == "." }
    if isZero { return signed ? "±" + digits : digits }
    return (value < 0 ? "−" : signed ? "+" : "") + digits
  }

  static func interval(_ low: Double?, _ high: Double?, decimals: Int = 3) -> String? {
    guard let low, let high, low.isFinite, high.isFinite else { return nil }
    return "[\(text(low, decimals: decimals)), \(text(high, decimals: decimals))]"
  }

  /// A share as a percentage.
  static func percent(_ share: Double?, decimals: Int = 1) -> String {
    guard let share, share.isFinite else { return absent }
    return text(share * 100, decimals: decimals) + " %"
  }

  /// Thousands apart: `7,355`.
  static func count(_ number: Int) -> String {
    var digits = String(number.magnitude)
    var groups: [String] = []
    while digits.count > 3 {
      groups.insert(String(digits.suffix(3)), at: 0)
      digits = String(digits.dropLast(3))
    }
    return (number < 0 ? "−" : "") + ([digits] + groups).joined(separator: ",")
  }

  /// Any number in few characters: `0.00002` is `2×10⁻⁵`.
  static func compact(_ value: Double?) -> String {
    guard let value, value.isFinite else { return absent }
    if value == 0 { return "0" }
    let magnitude = abs(value)
    if magnitude >= 1e-3 && magnitude < 1e6 {
      var digits = String(format: "%.4g", magnitude)
      // Below a million, %.4g still turns to an exponent from 10,000 on.
      if digits.contains("e") { digits = String(format: "%.0f", magnitude) }
      return (value < 0 ? "−" : "") + digits
    }
    var exponent = Int(log10(magnitude).rounded(.down))
    var mantissa = (magnitude / pow(10, Double(exponent)) * 100).rounded() / 100
    if mantissa >= 10 {
      mantissa /= 10
      exponent += 1
    }
    let digits = String(format: "%.3g", mantissa)
    return "\(value < 0 ? "−" : "")\(digits)×10\(superscript(exponent))"
  }

  private static func superscript(_ number: Int) -> String {
    let digits: [Character: Character] = [
      "0": "⁰", "1": "¹", "2": "²", "3": "³", "4": "⁴", "5": "⁵", "6": "⁶", "7": "⁷", "8": "⁸", "9": "⁹",
      "-": "⁻",
    ]
    return String(String(number).compactMap { digits[$0] })
  }

  /// `a`, `a and b`, `a, b and c`.
  static func list(_ words: [String]) -> String {
    guard words.count > 1, let last = words.last else { return words.first ?? "" }
    return words.dropLast().joined(separator: ", ") + " and " + last
  }

  /// The text's first `limit` characters, with an ellipsis where there are more.
  static func shortened(_ text: String, to limit: Int) -> String {
    // Counting only as far as needed: a text may be megabytes long.
    guard let end = text.index(text.startIndex, offsetBy: limit, limitedBy: text.endIndex),
      end < text.endIndex
    else { return text }
    return text[..<end].dropLast() + "…"
  }

  /// The text's start and end with an ellipsis between, where it has more than `limit` characters: names of runs tend
  /// to differ in their ends.
  static func abridged(_ text: String, to limit: Int) -> String {
    guard limit > 4, text.index(text.startIndex, offsetBy: limit + 1, limitedBy: text.endIndex) != nil else {
      return shortened(text, to: limit)
    }
    let start = (limit - 1) / 3
    return text.prefix(start) + "…" + text.suffix(limit - 1 - start)
  }

  /// About how many characters fit into a width in a chart's labels, in the widest of common fonts.
  static func characters(in width: Double) -> Int { max(4, Int(width / 7)) }
}

extension Metric {
  /// The name for people, as a heading.
  var title: String { name.prefix(1).uppercased() + name.dropFirst() }
}
