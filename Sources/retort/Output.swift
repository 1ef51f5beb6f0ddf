import Basics
import Foundation

/// Standard output for results; standard error is for people.
enum Output {
  /// Ends the program where nobody reads on (a closed pipe, quietly) or nothing can be written (a full disk).
  static func write(_ text: String) {
    let error = StandardStream.write(text, to: STDOUT_FILENO)
    guard error != 0 else { return }
    if error != EPIPE { note("error: cannot write the output: \(String(cString: strerror(error)))") }
    exit(error == EPIPE ? 141 : 1)
  }

  static func note(_ text: String) { _ = StandardStream.write(text + "\n", to: STDERR_FILENO) }

  /// Keys sorted, so that output is the same every time; a number that is not finite becomes null.
  static func json(_ object: Any) throws -> String {
    let data = try JSONSerialization.data(
      withJSONObject: finite(object), options: [.sortedKeys, .withoutEscapingSlashes])
    return String(decoding: data, as: UTF8.self) + "\n"
  }

  /// One line of a value's JSON, keys sorted, so that equal results are equal bytes.
  static func line(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self) + "\n"
  }

  private static func finite(_ value: Any) -> Any {
    switch value {
    case let object as [String: Any]: object.mapValues(finite)
    case let array as [Any]: array.map(finite)
    case let number as Double: number.isFinite ? number : NSNull()
    default: value
    }
  }
}
