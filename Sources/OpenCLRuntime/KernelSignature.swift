import Foundation

/// The argument names and kinds of the kernels in a piece of OpenCL C.
///
/// Read from the source, because not every driver keeps argument information and binaries lose it.
struct KernelSignature: Sendable {
  enum Kind: Sendable, Hashable { case buffer, local, int, uint, ulong, float, other }

  let names: [String]
  let kinds: [Kind]
  /// The names' bytes end to end, and where each starts; one start more than names.
  private let bytes: [UInt8]
  private let starts: [Int]

  init(parameters: [(name: String, kind: Kind)]) {
    names = parameters.map(\.name)
    kinds = parameters.map(\.kind)
    bytes = names.flatMap(\.utf8)
    starts = names.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.utf8.count) }
  }

  /// The place of the parameter `name`, looked for at `position` first; nil where there is none.
  func index(of name: StaticString, expectedAt position: Int) -> Int? {
    if position < names.count, isParameter(position, named: name) { return position }
    return names.indices.first { isParameter($0, named: name) }
  }

  /// Byte by byte, since this is asked for every argument of every launch.
  private func isParameter(_ position: Int, named name: StaticString) -> Bool {
    let (start, count) = (starts[position], name.utf8CodeUnitCount)
    guard starts[position + 1] - start == count else { return false }
    return bytes.withUnsafeBytes { bytes in
      bytes.baseAddress.map { memcmp($0 + start, name.utf8Start, count) == 0 } ?? true
    }
  }

  /// Signatures by kernel name. Signatures must be written out: macros are not expanded.
  static func parse(_ source: String) -> [String: KernelSignature] {
    let tokens = tokenize(source)
    var result: [String: KernelSignature] = [:]
    var index = 0
    while index < tokens.count {
      guard tokens[index] == "kernel" || tokens[index] == "__kernel" else {
        index += 1
        continue
      }
      var start = index + 1
      while start < tokens.count, tokens[start] == "__attribute__" {
        start = afterParentheses(tokens, start + 1)
      }
      guard let open = tokens[min(start, tokens.count)...].firstIndex(of: "("), open > start,
        let close = tokens[open...].firstIndex(of: ")")
      else { break }
      let name = tokens[open - 1]
      let parameters = tokens[(open + 1)..<close].split(separator: ",").compactMap { parameter($0) }
      result[name] = KernelSignature(parameters: parameters)
      index = close + 1
    }
    return result
  }

  /// The index behind the parentheses that open at `start`.
  private static func afterParentheses(_ tokens: [String], _ start: Int) -> Int {
    var depth = 0
    for index in start..<max(tokens.count, start) {
      if tokens[index] == "(" { depth += 1 }
      if tokens[index] == ")" {
        depth -= 1
        if depth == 0 { return index + 1 }
      }
    }
    return tokens.count
  }

  private static func parameter(_ tokens: ArraySlice<String>) -> (name: String, kind: Kind)? {
    guard let name = tokens.last else { return nil }
    let words = Set(tokens.dropLast())
    if words.contains("*") {
      let local = words.contains("local") || words.contains("__local")
      return (name, local ? .local : .buffer)
    }
    let kinds: [String: Kind] = ["int": .int, "uint": .uint, "ulong": .ulong, "float": .float]
    return (name, words.compactMap { kinds[$0] }.first ?? .other)
  }

  /// Identifiers and single punctuation marks, comments left out.
  private static func tokenize(_ source: String) -> [String] {
    let bytes = Array(source.utf8)
    var tokens: [String] = []
    var index = 0
    while index < bytes.count {
      let byte = bytes[index]
      if byte == UInt8(ascii: "/"), index + 1 < bytes.count, bytes[index + 1] == UInt8(ascii: "/") {
        while index < bytes.count, bytes[index] != UInt8(ascii: "\n") { index += 1 }
      } else if byte == UInt8(ascii: "/"), index + 1 < bytes.count, bytes[index + 1] == UInt8(ascii: "*") {
        index += 2
        while index + 1 < bytes.count,
          !(bytes[index] == UInt8(ascii: "*") && bytes[index + 1] == UInt8(ascii: "/"))
        { index += 1 }
        index += 2
      } else if isWord(byte) {
        let start = index
        while index < bytes.count, isWord(bytes[index]) { index += 1 }
        tokens.append(String(decoding: bytes[start..<index], as: UTF8.self))
      } else {
        if byte > 32 { tokens.append(String(UnicodeScalar(byte))) }
        index += 1
      }
    }
    return tokens
  }

  private static func isWord(_ byte: UInt8) -> Bool {
    (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122) || byte == 95
  }
}
