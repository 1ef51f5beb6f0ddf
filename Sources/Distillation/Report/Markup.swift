/// HTML or SVG source that cannot be made from a text without escaping it.
///
/// Literal parts of an interpolated literal are taken as they are; an interpolated `String` passes through
/// ``escaped(_:)``, so no text from data can become an element or leave an attribute.
public struct Markup: Sendable, Equatable, ExpressibleByStringInterpolation {
  public private(set) var source: String

  public init(stringLiteral value: String) { source = value }

  public init(stringInterpolation: StringInterpolation) { source = stringInterpolation.source }

  public static func += (left: inout Markup, right: Markup) { left.source += right.source }

  /// What stands between the parts of an interpolated literal.
  public struct StringInterpolation: StringInterpolationProtocol {
    var source = ""

    public init(literalCapacity: Int, interpolationCount: Int) { source.reserveCapacity(literalCapacity) }

    public mutating func appendLiteral(_ literal: String) { source += literal }
    public mutating func appendInterpolation(_ text: String) { source += Markup.escaped(text) }
    public mutating func appendInterpolation(_ markup: Markup) { source += markup.source }
    public mutating func appendInterpolation(_ number: Int) { source += String(number) }
    /// A coordinate or length: at most two decimals.
    public mutating func appendInterpolation(_ number: Double) { source += Markup.coordinate(number) }
  }

  /// Text for an element's content or a quoted attribute.
  ///
  /// Characters that HTML does not allow (controls but tab and line feed, noncharacters) become U+FFFD.
  public static func escaped(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result.append(contentsOf: "&amp;".unicodeScalars)
      case "<": result.append(contentsOf: "&lt;".unicodeScalars)
      case ">": result.append(contentsOf: "&gt;".unicodeScalars)
      case "\"": result.append(contentsOf: "&quot;".unicodeScalars)
      case "'": result.append(contentsOf: "&#39;".unicodeScalars)
      case "\n", "\t": result.append(scalar)
      case _ where isForbidden(scalar): result.append("\u{FFFD}")
      default: result.append(scalar)
      }
    }
    return String(result)
  }

  private static func isForbidden(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F..<0xA0, 0xFDD0...0xFDEF: true
    default: scalar.value & 0xFFFE == 0xFFFE
    }
  }

  /// A number with at most two decimals, never `-0`; 0 for one that is not finite.
  static func coordinate(_ number: Double) -> String {
    let hundredths = (number * 100).rounded()
    guard hundredths.isFinite, abs(hundredths) < 1e15 else { return "0" }
    let whole = Int(hundredths)
    let magnitude = whole.magnitude
    let sign = whole < 0 ? "-" : ""
    let fraction = magnitude % 100
    if fraction == 0 { return "\(sign)\(magnitude / 100)" }
    if fraction % 10 == 0 { return "\(sign)\(magnitude / 100).\(fraction / 10)" }
    return "\(sign)\(magnitude / 100).\(fraction < 10 ? "0" : "")\(fraction)"
  }
}

extension Sequence where Element == Markup {
  /// The parts one after another.
  func joined(separator: Markup = "") -> Markup {
    var result: Markup = ""
    for (index, part) in enumerated() {
      if index > 0 { result += separator }
      result += part
    }
    return result
  }
}
