/// What the teacher says of one aspect of the pair.
public enum Verdict: String, Sendable, CaseIterable, Hashable {
  case match, mismatch
  /// The query does not ask for this aspect.
  case unspecified
}

/// One side of relevance that the rationale judges on a line of its own.
public struct Aspect: Sendable, Hashable {
  /// The name that starts the line.
  public let name: String
  /// The name as the instruction mentions it, with its article.
  public let phrase: String

  public init(name: String, phrase: String? = nil) {
    self.name = name
    self.phrase = phrase ?? "the \(name)"
  }
}

/// The fixed outline of a rationale: what the query asks, a line an aspect, the label.
public struct RationaleOutline: Sendable, Hashable {
  public let aspects: [Aspect]
  /// The longest free text of a line, in characters.
  public let textLimit: Int

  /// Keeps the aspects whose names, flattened to one line and trimmed, are neither empty, repeated, one of the
  /// outline's own keys (`asks`, `label`), nor hold a colon.
  public init(aspects: [Aspect], textLimit: Int = 60) {
    var seen: Set<String> = ["asks", "label"]
    self.aspects = aspects.compactMap { aspect in
      let name = aspect.name.flattenedLine.trimmedWhitespace
      guard !name.isEmpty, !name.contains(":") else { return nil }
      guard seen.insert(RationaleOutline.key(name)).inserted else { return nil }
      return Aspect(name: name, phrase: aspect.phrase.flattenedLine.trimmedWhitespace)
    }
    self.textLimit = max(1, textLimit)
  }

  /// Product type, brand, model, attributes and use.
  public static let standard = RationaleOutline(aspects: [
    Aspect(name: "product type"), Aspect(name: "brand"), Aspect(name: "model"),
    Aspect(name: "attributes", phrase: "the attributes such as size, colour or material"),
    Aspect(name: "use"),
  ])

  public var names: [String] { aspects.map(\.name) }

  /// The outline as a grammar in llama.cpp's GBNF, which fixes every part but the free texts.
  public func grammar(labels: LabelSet) -> String {
    var root = "root ::= \"Asks: \" text"
    for aspect in aspects {
      root += " \"\\n\(RationaleOutline.quoted(aspect.name)): \" v \" - \" text"
    }
    let names = labels.bestFirst.map { "\"\(RationaleOutline.quoted($0.name))\"" }.joined(separator: " | ")
    root += " \"\\nLabel: \" (\(names))"
    let verdicts = Verdict.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: " | ")
    return "\(root)\nv ::= \(verdicts)\ntext ::= [^\\n]{1,\(textLimit)}\n"
  }

  /// What is left of an answer that starts with `Asks:` until the label is read, as a grammar: the outline up to and
  /// with the label's cue.
  ///
  /// A text holds no character that some reader takes for a line break, so that each line is the outline's own.
  public var rationaleGrammar: String {
    var root = "root ::= \" \" text"
    for aspect in aspects {
      root += " \"\\n\(RationaleOutline.quoted(aspect.name)): \" v \" - \" text"
    }
    root += " \"\\nLabel:\""
    let verdicts = Verdict.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: " | ")
    let text = "[^\\x00-\\x1F\\x7F-\\x9F\\u2028\\u2029]{1,\(textLimit)}"
    return "\(root)\nv ::= \(verdicts)\ntext ::= \(text)\n"
  }

  private static func quoted(_ text: String) -> String {
    text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
  }

  /// A line's key for comparison: lower case, markup dropped, words apart by one space.
  static func key(_ text: some StringProtocol) -> String {
    text.lowercased().split { $0.isWhitespace || $0 == "_" || $0 == "*" || $0 == "#" || $0 == "`" }
      .joined(separator: " ")
  }
}
