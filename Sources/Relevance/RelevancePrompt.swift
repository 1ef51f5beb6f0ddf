/// The teacher's prompt: a system turn that a whole job shares, and a user turn for each pair.
///
/// What is shared comes first, so that its KV cache is computed once: the system turn once a job, the query line
/// once a query (docs/method.md).
public struct RelevancePrompt: Sendable {
  /// How much the teacher writes before it names the label.
  public enum Reasoning: String, Sendable, CaseIterable {
    /// The rationale, then the label.
    case full
    /// The label directly.
    case direct = "none"
  }

  /// The longest description and attributes that enter a prompt, in Unicode scalars.
  public struct Budget: Sendable, Hashable {
    public var description: Int
    public var attributes: Int

    public init(description: Int = 400, attributes: Int = 400) {
      self.description = max(0, description)
      self.attributes = max(0, attributes)
    }
  }

  public let labels: LabelSet
  public let outline: RationaleOutline
  public let reasoning: Reasoning
  public let budget: Budget
  /// The system turn.
  public let system: String
  /// SHA-256, in hexadecimal, over everything but the pair that shapes an answer: the system turn, the user
  /// turn's layout, the outline's grammar and the label set.
  public let promptHash: String

  public init(
    labels: LabelSet = .standard, outline: RationaleOutline = .standard, reasoning: Reasoning = .full,
    budget: Budget = Budget()
  ) {
    self.labels = labels
    self.outline = outline
    self.reasoning = reasoning
    self.budget = budget
    system = RelevancePrompt.systemText(labels: labels, outline: outline, reasoning: reasoning)
    let layout = "Query|Item|Description \(budget.description)|Attributes \(budget.attributes)"
    // NUL cannot stand in any of the parts, so no two lists of parts join to the same text.
    promptHash = SHA256.hex(
      [system, layout, reasoning.rawValue, outline.grammar(labels: labels), labels.json]
        .joined(separator: "\0"))
  }

  /// The user turn of a pair; every field stands on one line, description and attributes cut to the budget.
  public func user(_ pair: Pair) -> String {
    var lines = [
      "Query: \(pair.query.flattenedLine.trimmedWhitespace)",
      "Item: \(pair.title.flattenedLine.trimmedWhitespace)",
    ]
    let optional = [
      ("Description", pair.description, budget.description),
      ("Attributes", pair.attributes, budget.attributes),
    ]
    for (name, value, limit) in optional {
      guard let value, limit > 0 else { continue }
      let text = value.flattenedLine.trimmedWhitespace.truncated(toScalars: limit)
      if !text.isEmpty { lines.append("\(name): \(text)") }
    }
    return lines.joined(separator: "\n")
  }

  /// The fixed text that every answer starts with, to be put after the assistant turn's header.
  ///
  /// It ends without a space: a byte-level tokenizer joins the space to the word after it.
  public var answerPrefix: String { reasoning == .full ? "Asks:" : labelCue }

  /// The text that comes right before the label, without the line break before it.
  public var labelCue: String { "Label:" }

  /// What follows ``labelCue`` for each label, in label-set order: the texts whose tokens make the trie.
  public var labelTexts: [String] { labels.names.map { " " + $0 } }

  /// The parser that fits this prompt's answers.
  public var parser: RationaleParser { RationaleParser(outline: outline, labels: labels) }
}

extension RelevancePrompt {
  static func systemText(labels: LabelSet, outline: RationaleOutline, reasoning: Reasoning) -> String {
    var lines = ["You judge how relevant a shop item is to a shopper's search query."]
    lines.append(reasoning == .full ? steps(outline) : "Name the label.")
    lines.append("Labels:")
    lines += labels.bestFirst.map { label in
      label.definition.isEmpty ? label.name : "\(label.name): \(midSentence(label.definition))"
    }
    var number = 0
    for example in PromptExample.standard {
      guard let label = example.label(in: labels) else { continue }
      number += 1
      lines += ["Example \(number)", "Query: \(example.query)", "Item: \(example.item)"]
      if reasoning == .full { lines += example.rationale(outline) }
      lines.append("Label: \(label.name)")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func steps(_ outline: RationaleOutline) -> String {
    let asked = outline.aspects.isEmpty ? "." : ": \(list(outline.aspects.map(\.phrase)))."
    let verdicts =
      outline.aspects.isEmpty
      ? ""
      : " Then compare the item with the query, one aspect a line. For each aspect give a verdict: match, "
        + "mismatch, or unspecified when the query does not ask for it, and a short reason."
    return "Work in steps. First say what the query asks for\(asked)\(verdicts) Last, name the label."
  }

  private static func list(_ phrases: [String]) -> String {
    guard phrases.count > 2, let last = phrases.last else { return phrases.joined(separator: " and ") }
    return phrases.dropLast().joined(separator: ", ") + ", and " + last
  }

  /// A definition after a colon: a leading article loses its capital; a name keeps it.
  private static func midSentence(_ definition: String) -> String {
    let first = definition.prefix { $0 != " " }
    guard ["The", "A", "An"].contains(first) else { return definition }
    return first.lowercased() + definition.dropFirst(first.count)
  }
}
