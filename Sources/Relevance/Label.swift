/// One grade of relevance: its name, what it is worth, and what it means.
public struct Label: Sendable, Hashable {
  /// The name that the teacher writes, without surrounding white space.
  public let name: String
  /// The gain of an item with this label (1 for the best in the built-in set, 0 for the worst).
  public let gain: Double
  /// What the label means, in one line for the prompt; empty where the file gives none.
  public let definition: String

  public init(name: String, gain: Double, definition: String = "") {
    self.name = name
    self.gain = gain
    self.definition = definition
  }
}
