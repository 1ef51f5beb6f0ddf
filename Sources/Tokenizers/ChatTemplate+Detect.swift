import Basics

extension ChatTemplate {
  /// Recognises the layout of a Jinja chat template by its markers; without a template it is plain.
  ///
  /// - Throws: `unsupported` with the template's beginning, where no layout fits.
  public static func detect(from template: String?) throws -> ChatTemplate {
    guard let template, !template.isEmpty else { return ChatTemplate(.plain) }
    if template.contains("<|im_start|>"), template.contains("<|im_end|>"),
      !["<|im_sep|>", "## Metadata"].contains(where: template.contains)
    {
      var result = ChatTemplate(.chatML, defaultSystem: defaultSystem(in: template))
      result.trimsContent = ["content'] | trim", "content']|trim", "content | trim", "content|trim"]
        .contains(where: template.contains)
      return result
    }
    if template.contains("<|start_header_id|>"), template.contains("<|eot_id|>") {
      var result = ChatTemplate(.llama3)
      if template.contains("Cutting Knowledge Date: December 2023") {
        // The date the template falls back to, so that a prompt is the same every day.
        result.systemPreamble = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
      }
      return result
    }
    let beginning = template.prefix(80).replacing("\n", with: " ")
    throw RetortError(
      .unsupported, "the chat template is of no known layout: \"\(beginning)…\"", field: "chat_template",
      remedy: "Choose a layout yourself with --template chatml, llama3 or plain.")
  }

  /// The literal system message between ChatML markers, which the template puts in by default.
  private static func defaultSystem(in template: String) -> String? {
    let opening = "<|im_start|>system"
    var rest = template[...]
    while let range = rest.firstRange(of: opening) {
      let quote = template[..<range.lowerBound].last.flatMap { $0 == "'" || $0 == "\"" ? $0 : nil }
      rest = rest[range.upperBound...]
      if let found = literal(rest, quote: quote) { return found }
    }
    return nil
  }

  /// The text from a line break to `<|im_end|>`, unless the string literal or the plain text ends before.
  private static func literal(_ text: Substring, quote: Character?) -> String? {
    var result = ""
    var rest = text
    while let character = rest.first {
      if rest.hasPrefix("<|im_end|>") {
        return result.hasPrefix("\n") ? String(result.dropFirst()) : nil
      }
      rest = rest.dropFirst()
      if quote == nil ? character == "{" : character == quote { return nil }
      if quote != nil, character == "\\", let escaped = rest.first {
        rest = rest.dropFirst()
        result.append(escaped == "n" ? "\n" : escaped == "t" ? "\t" : escaped)
      } else {
        result.append(character)
      }
    }
    return nil
  }
}
