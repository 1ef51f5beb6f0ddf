/// Reads a rationale out of a model's answer.
///
/// Models stray from the outline: letter case, white space, list marks and bold marks around keys, missing or
/// repeated lines and text around them are all accepted. Of repeated lines the first counts. Any text parses.
public struct RationaleParser: Sendable {
  public let outline: RationaleOutline
  public let labels: LabelSet

  private let aspectByKey: [String: Int]
  /// Longest name first, so that `not relevant at all` is not taken for `not relevant`.
  private let labelNames: [(lowercased: String, name: String)]

  public init(outline: RationaleOutline = .standard, labels: LabelSet = .standard) {
    self.outline = outline
    self.labels = labels
    aspectByKey = Dictionary(
      outline.aspects.enumerated().map { (RationaleOutline.key($0.element.name), $0.offset) },
      uniquingKeysWith: { first, _ in first })
    labelNames = labels.names.map { ($0.lowercased(), $0) }
      .sorted { $0.0.unicodeScalars.count > $1.0.unicodeScalars.count }
  }

  /// Parses an answer, which may be empty or cut short.
  ///
  /// - Parameter imposed: stretches of the text, in UTF-8 bytes, that the teacher did not choose; a verdict that lies
  ///   there in part is not its own and counts as none.
  public func parse(_ text: String, imposed: [Range<Int>] = []) -> Rationale {
    let foreign = imposed.filter { !$0.isEmpty }
    func isOwn(_ word: Substring) -> Bool {
      guard !foreign.isEmpty else { return true }
      let start = text.utf8.distance(from: text.startIndex, to: word.startIndex)
      return !foreign.contains { $0.overlaps(start..<start + word.utf8.count) }
    }
    var asks: String?
    var labelLine: String?
    var judgements = [Rationale.Judgement?](repeating: nil, count: outline.aspects.count)
    for line in text.split(whereSeparator: \.isNewline) {
      guard let (key, value) = keyAndValue(line) else { continue }
      if key == "asks" {
        asks = asks ?? String(value)
      } else if key == "label" {
        labelLine = labelLine ?? String(value)
      } else if let index = aspectByKey[key], judgements[index] == nil {
        judgements[index] = judgement(outline.aspects[index].name, value, isOwn)
      }
    }
    let aspects = zip(outline.aspects, judgements).map {
      $1 ?? Rationale.Judgement(aspect: $0.name, verdict: nil, reason: nil)
    }
    return Rationale(
      asks: asks.flatMap { $0.isEmpty ? nil : $0 }, aspects: aspects, label: labelLine.flatMap(label))
  }

  private func keyAndValue(_ line: Substring) -> (key: String, value: Substring)? {
    guard let colon = line.firstIndex(of: ":") else { return nil }
    let value = RationaleParser.withoutMarks(line[line.index(after: colon)...].trimmed)
    let key = RationaleOutline.key(line[..<colon])
    if aspectByKey[key] != nil { return (key, value) }
    // A list mark before the key: `- brand`, `• brand`, `2. brand`.
    let bare = line[..<colon].drop { $0.isWhitespace || $0.isNumber || "-•.)*>".contains($0) }
    return (RationaleOutline.key(bare), value)
  }

  /// Drops the bold marks that close around a key (`**Label:** exact`).
  private static func withoutMarks(_ value: Substring) -> Substring {
    value.hasPrefix("*") ? value.drop { $0 == "*" }.trimmed : value
  }

  private func judgement(
    _ aspect: String, _ value: Substring, _ isOwn: (Substring) -> Bool
  ) -> Rationale.Judgement {
    let word = value.prefix { $0.isLetter }
    let verdict = Verdict(rawValue: word.lowercased())
    guard verdict != nil else {
      return Rationale.Judgement(aspect: aspect, verdict: nil, reason: value.isEmpty ? nil : String(value))
    }
    let rest = String(value[word.endIndex...].drop { $0.isWhitespace || "-–—:,;.*".contains($0) })
      .trimmedWhitespace
    return Rationale.Judgement(
      aspect: aspect, verdict: isOwn(word) ? verdict : nil, reason: rest.isEmpty ? nil : rest)
  }

  private func label(_ value: String) -> String? {
    let text = value.drop { $0 == "\"" || $0 == "'" || $0 == "`" || $0 == "*" || $0 == "(" }.lowercased()
    for candidate in labelNames where text.hasPrefix(candidate.lowercased) {
      let next = text.dropFirst(candidate.lowercased.count).first
      if next.map({ !$0.isLetter && !$0.isNumber }) ?? true { return candidate.name }
    }
    return nil
  }
}
