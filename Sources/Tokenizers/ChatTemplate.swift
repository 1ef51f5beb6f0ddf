import Basics

/// One turn of a conversation.
public struct ChatMessage: Sendable, Equatable {
  public enum Role: String, Sendable {
    case system, user, assistant
  }

  public var role: Role
  public var content: String

  public init(_ role: Role, _ content: String) {
    self.role = role
    self.content = content
  }
}

/// How a conversation is written for a model: one of the common layouts, with the details its template sets.
public struct ChatTemplate: Sendable, Equatable {
  public enum Style: String, Sendable, CaseIterable {
    /// `<|im_start|>role\ncontent<|im_end|>\n`.
    case chatML = "chatml"
    /// `<|start_header_id|>role<|end_header_id|>\n\ncontent<|eot_id|>`.
    case llama3
    /// The contents, each on lines of its own, without markers.
    case plain
  }

  public var style: Style
  /// The system message put first where the conversation has none.
  public var defaultSystem: String?
  /// Text that opens the system message, present or not (Llama 3.1's dates).
  public var systemPreamble: String?
  /// Whether white space around each content is removed.
  public var trimsContent: Bool
  /// Whether the beginning-of-sequence token comes first.
  public var startsWithBOS: Bool

  public init(_ style: Style, defaultSystem: String? = nil) {
    self.style = style
    self.defaultSystem = defaultSystem
    systemPreamble = nil
    trimsContent = style == .llama3
    startsWithBOS = style == .llama3
  }

  /// A layout by the name the command line takes.
  ///
  /// - Throws: `invalidArgument` for an unknown name.
  public init(named name: String) throws {
    guard let style = Style(rawValue: name.lowercased()) else {
      throw RetortError(
        .invalidArgument, "unknown chat template \"\(name.prefix(64))\"", field: "--template",
        remedy: "Use chatml, llama3 or plain.")
    }
    self.init(style)
  }

  /// The conversation as text whose special tokens are to be parsed.
  public func render(
    _ messages: [ChatMessage], addGenerationPrompt: Bool = true, bosToken: String? = nil
  ) -> String {
    var turns = messages
    if let first = messages.first, first.role != .system {
      if systemPreamble != nil || defaultSystem != nil {
        turns.insert(ChatMessage(.system, defaultSystem ?? ""), at: 0)
      }
    }
    var text = startsWithBOS ? bosToken ?? "" : ""
    for (i, turn) in turns.enumerated() {
      let content = trimsContent ? ChatTemplate.trimmed(turn.content) : turn.content
      text += open(turn.role) + (i == 0 ? systemPreamble ?? "" : "") + content + close
    }
    return addGenerationPrompt ? text + open(.assistant) : text
  }

  private func open(_ role: ChatMessage.Role) -> String {
    switch style {
    case .chatML: "<|im_start|>\(role.rawValue)\n"
    case .llama3: "<|start_header_id|>\(role.rawValue)<|end_header_id|>\n\n"
    case .plain: ""
    }
  }

  private var close: String {
    switch style {
    case .chatML: "<|im_end|>\n"
    case .llama3: "<|eot_id|>"
    case .plain: "\n\n"
    }
  }

  /// The text without white space at its ends, as Jinja's `trim`.
  private static func trimmed(_ text: String) -> String {
    let scalars = text.unicodeScalars
    // Python's strip also takes the four information separators, which Unicode does not call white space.
    let isSpace = { (scalar: Unicode.Scalar) in
      scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
    }
    guard let first = scalars.firstIndex(where: { !isSpace($0) }),
      let last = scalars.lastIndex(where: { !isSpace($0) })
    else { return "" }
    return String(scalars[first...last])
  }
}
