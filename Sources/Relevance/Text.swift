extension Unicode.Scalar {
  /// Line and paragraph separators and every other control character: none may enter a one-line field.
  var breaksLine: Bool {
    value < 0x20 || (value >= 0x7F && value <= 0x9F) || value == 0x2028 || value == 0x2029
  }
}

extension Substring {
  /// The part without white space at either end.
  var trimmed: Substring {
    guard let first = firstIndex(where: { !$0.isWhitespace }),
      let last = lastIndex(where: { !$0.isWhitespace })
    else { return self[endIndex...] }
    return self[first...last]
  }
}

extension String {
  /// The text without white space at either end.
  var trimmedWhitespace: String { String(self[...].trimmed) }

  /// The text on one line: each line break (CR LF counts as one) or control character becomes a space.
  var flattenedLine: String {
    guard unicodeScalars.contains(where: \.breaksLine) else { return self }
    var result = String.UnicodeScalarView()
    var afterReturn = false
    for scalar in unicodeScalars {
      if afterReturn && scalar == "\n" {
        afterReturn = false
        continue
      }
      afterReturn = scalar == "\r"
      result.append(scalar.breaksLine ? " " : scalar)
    }
    return String(result)
  }

  /// At most `budget` Unicode scalars, cut between characters, and back at a space where one is near.
  func truncated(toScalars budget: Int) -> String {
    guard unicodeScalars.count > budget else { return self }
    var end = startIndex
    var used = 0
    var lastSpace: String.Index?
    var spaceUsed = 0
    while end < endIndex {
      let next = index(after: end)
      let width = self[end..<next].unicodeScalars.count
      if self[end] == " " {
        lastSpace = end
        spaceUsed = used
      }
      if used + width > budget { break }
      used += width
      end = next
    }
    if let lastSpace, spaceUsed * 2 >= budget { end = lastSpace }
    return String(self[..<end]).trimmedWhitespace
  }
}
