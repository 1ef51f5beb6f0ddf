import Basics

/// A `pre_tokenizer` entry of a `tokenizer.json`, recognised by its structure and expression.
struct HuggingFacePreTokenizer {
  var preTokenizer: PreTokenizer
  var addsSpacePrefix: Bool

  private static let tail = #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  private static let head = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"#

  /// Recognises ByteLevel (GPT-2), Digits and ByteLevel (SmolLM), Split and ByteLevel (Llama-3, Qwen2).
  ///
  /// - Throws: `unsupported` naming what was found instead.
  init(_ entry: JSONValue?) throws {
    let steps =
      entry?["type"]?.asString == "Sequence" ? entry?["pretokenizers"]?.asArray ?? [] : [entry ?? .null]
    let types = steps.map { $0["type"]?.asString ?? "none" }
    guard let last = steps.last, types.last == "ByteLevel", steps.count <= 2 else {
      throw VocabularySpec.unsupported(
        "the pre-tokenizer \(types.prefix(8).joined(separator: " + "))", field: "pre_tokenizer")
    }
    addsSpacePrefix = last["add_prefix_space"]?.asBool ?? true
    let usesRegex = last["use_regex"]?.asBool ?? true
    switch (types.first, steps.count, usesRegex) {
    case (_, 1, true): preTokenizer = .gpt2
    case ("Digits", 2, true) where steps[0]["individual_digits"]?.asBool == true && !addsSpacePrefix:
      preTokenizer = .smollm
    case ("Split", 2, false) where !addsSpacePrefix: preTokenizer = try Self.split(steps[0])
    default:
      throw VocabularySpec.unsupported(
        "the pre-tokenizer \(types.joined(separator: " + ")) with its settings", field: "pre_tokenizer")
    }
  }

  private static func split(_ step: JSONValue) throws -> PreTokenizer {
    let behavior = step["behavior"]?.asString ?? "none"
    let isInverted = step["invert"]?.asBool ?? false
    // Both keep the matches as pieces: the expressions leave nothing between matches.
    guard (behavior == "Isolated" && !isInverted) || (behavior == "Removed" && isInverted) else {
      throw VocabularySpec.unsupported("a split with behaviour \(behavior)", field: "pre_tokenizer")
    }
    let expression = step["pattern"]?["Regex"]?.asString ?? ""
    switch expression {
    case head + #"\p{N}{1,3}"# + tail: return .llama3
    case head + #"\p{N}"# + tail: return .qwen2
    default:
      throw VocabularySpec.unsupported(
        "the unknown split expression \"\(expression.prefix(200))\"", field: "pre_tokenizer")
    }
  }
}
