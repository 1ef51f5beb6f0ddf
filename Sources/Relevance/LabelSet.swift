import Basics

/// The ordered grades that a job labels with.
///
/// Names are unique whatever their case, and gains run in one direction, so that an ordinal student can rely on
/// the order.
public struct LabelSet: Sendable, Hashable {
  /// The labels in the order of the file; probabilities everywhere follow this order.
  public let labels: [Label]

  /// Checks and keeps `labels`; white space around names and definitions is dropped.
  ///
  /// - Throws: `malformedFile` naming the field (for example `labels[1].gain`).
  public init(_ labels: [Label]) throws {
    let trimmed = labels.map {
      Label(
        name: $0.name.trimmedWhitespace, gain: $0.gain,
        definition: $0.definition.flattenedLine.trimmedWhitespace)
    }
    try LabelSet.check(trimmed)
    self.labels = trimmed
  }

  private init(unchecked labels: [Label]) { self.labels = labels }

  /// Exact, partial and irrelevant with gains 1, 0.5 and 0.
  public static let standard = LabelSet(unchecked: [
    Label(name: "exact", gain: 1, definition: "the item is what the query asks for."),
    Label(
      name: "partial", gain: 0.5,
      definition: "the item is related or a substitute, but misses something the query asks for."),
    Label(name: "irrelevant", gain: 0, definition: "the item does not serve the query."),
  ])

  public var count: Int { labels.count }
  public var names: [String] { labels.map(\.name) }

  /// The labels from the highest gain to the lowest; equal gains keep their order.
  public var bestFirst: [Label] {
    labels.enumerated()
      .sorted {
        $0.element.gain != $1.element.gain ? $0.element.gain > $1.element.gain : $0.offset < $1.offset
      }
      .map(\.element)
  }

  /// The place of the label of this name, whatever its case and surrounding white space.
  public func index(of name: String) -> Int? {
    let wanted = name.trimmedWhitespace.lowercased()
    return labels.firstIndex { $0.name.lowercased() == wanted }
  }

  private static func check(_ labels: [Label]) throws {
    guard labels.count >= 2 else {
      throw problem(
        "a label set needs at least two labels, found \(labels.count)", field: "labels",
        remedy: "List every grade of relevance with its name and gain.")
    }
    var seen: [String: Int] = [:]
    for (index, label) in labels.enumerated() {
      guard !label.name.isEmpty else {
        throw problem(
          "the name is empty", field: "labels[\(index)].name", remedy: "Give the label a name.")
      }
      guard label.name.unicodeScalars.allSatisfy({ !$0.breaksLine }) else {
        throw problem(
          "the name holds a line break or control character", field: "labels[\(index)].name",
          remedy: "Write the name on one line of plain text.")
      }
      if let first = seen.updateValue(index, forKey: label.name.lowercased()) {
        throw problem(
          "the name \"\(label.name)\" is already that of labels[\(first)]", field: "labels[\(index)].name",
          remedy: "Give each label a name of its own; upper and lower case do not tell names apart.")
      }
      guard label.gain.isFinite else {
        throw problem(
          "the gain is not a finite number", field: "labels[\(index)].gain",
          remedy: "Give the label a number such as 0.5.")
      }
    }
    try checkOrder(labels)
  }

  private static func checkOrder(_ labels: [Label]) throws {
    guard let first = labels.first?.gain, let last = labels.last?.gain else { return }
    guard labels.contains(where: { $0.gain != first }) else {
      throw problem(
        "all gains are equal", field: "labels", remedy: "Give a better label a higher gain than a worse one.")
    }
    let rising = last > first
    for index in 1..<labels.count {
      let step = labels[index].gain - labels[index - 1].gain
      guard rising ? step >= 0 : step <= 0 else {
        throw problem(
          "the gains change direction", field: "labels[\(index)].gain",
          remedy: "List the labels from worst to best or from best to worst.")
      }
    }
  }

  static func problem(_ message: String, field: String, remedy: String) -> RetortError {
    RetortError(.malformedFile, message, field: field, remedy: remedy)
  }
}
