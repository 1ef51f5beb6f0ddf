import Basics

extension VocabularySpec {
  /// The added tokens, given or derived from the token types, with every id of the specification checked.
  ///
  /// - Throws: `unsupported` for a kind without an implementation; `malformedFile` for ids out of range.
  func checkedAddedTokens() throws -> [AddedToken] {
    guard kind == .byteLevelBPE else {
      throw RetortError(
        .unsupported, "\(kind.rawValue) vocabularies are not supported yet", field: "tokenizer model",
        remedy: "Use a model with a byte-level BPE vocabulary (SmolLM2, Qwen2, Llama-3, GPT-2).")
    }
    guard tokenTypes.isEmpty || tokenTypes.count == tokens.count else {
      throw VocabularySpec.malformed(
        "\(tokenTypes.count) token types for \(tokens.count) tokens", field: "token types")
    }
    for (name, id) in [
      ("bos id", bosID), ("eos id", eosID), ("pad id", padID), ("eot id", eotID), ("unknown id", unknownID),
    ] {
      if let id { try check(id, field: name) }
    }
    let result = addedTokens ?? derivedAddedTokens()
    for token in result { try check(token.id, field: "added token \"\(token.content.prefix(64))\"") }
    return result
  }

  private func derivedAddedTokens() -> [AddedToken] {
    tokenTypes.indices.compactMap { i in
      guard tokenTypes[i] == .control || tokenTypes[i] == .userDefined else { return nil }
      return AddedToken(id: Int32(i), content: tokens[i], isSpecial: tokenTypes[i] == .control)
    }
  }

  private func check(_ id: Int32, field: String) throws {
    guard id >= 0, id < tokens.count else {
      throw VocabularySpec.malformed(
        "token id \(id) is outside the vocabulary of \(tokens.count) tokens", field: field)
    }
  }

  static func malformed(_ message: String, field: String) -> RetortError {
    RetortError(
      .malformedFile, message, field: field,
      remedy: "The file is damaged or incomplete; fetch the model again.")
  }
}

extension BytePairModel {
  /// Builds the tables of a checked specification.
  init(_ spec: VocabularySpec, addedTokens: [VocabularySpec.AddedToken]) throws {
    var isAdded = [Bool](repeating: false, count: spec.tokens.count)
    for token in addedTokens { isAdded[Int(token.id)] = true }
    let isNormal = spec.tokens.indices.map { id in
      !isAdded[id] && (spec.tokenTypes.isEmpty || spec.tokenTypes[id] == .normal)
    }
    tokens = try TokenTable(spec.tokens, isNormal: isNormal)
    merges = try MergeTable(spec.merges, tokens: tokens)
    characters = (0...255).map { ByteLevelAlphabet.character(of: $0) }
    let tokens = tokens
    byteTokens = characters.map { tokens.find($0) ?? spec.unknownID ?? -1 }
    ignoresMerges = spec.ignoresMerges
    guard byteTokens.contains(where: { $0 >= 0 && $0 != spec.unknownID }) else {
      throw VocabularySpec.malformed("no token stands for a single byte", field: "tokens")
    }
    let isLong = { id in
      tokens.withBytes(id) { ByteLevelAlphabet.bytes(of: $0).count > 1 }
    }
    if spec.merges.isEmpty, spec.tokens.indices.contains(where: { isNormal[$0] && isLong($0) }) {
      throw VocabularySpec.malformed("the vocabulary has no merges", field: "merges")
    }
  }
}
