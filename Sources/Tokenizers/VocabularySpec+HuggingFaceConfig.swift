import Basics

extension VocabularySpec {
  /// Reads the bytes of a `tokenizer_config.json`: bos, eos and pad tokens and the chat template.
  ///
  /// - Throws: `malformedFile` for broken JSON or a bos, eos or pad token that is not in the vocabulary.
  public mutating func apply(config bytes: UnsafeBufferPointer<UInt8>) throws {
    let config = try JSONParser.parse(bytes)
    if let id = try tokenID(config, "bos_token") { bosID = id }
    if let id = try tokenID(config, "eos_token") { eosID = id }
    if let id = try tokenID(config, "pad_token") { padID = id }
    if let flag = config["add_bos_token"]?.asBool { addsBOS = flag }
    if let flag = config["add_eos_token"]?.asBool { addsEOS = flag }
    switch config["chat_template"] {
    case .string(let template): chatTemplate = template
    case .array(let named):
      let chosen = named.first { $0["name"]?.asString == "default" } ?? named.first
      chatTemplate = chosen?["template"]?.asString
    default: break
    }
  }

  private func tokenID(_ config: JSONValue, _ key: String) throws -> Int32? {
    guard let entry = config[key], let text = entry.asString ?? entry["content"]?.asString else { return nil }
    let added = addedTokens?.first { $0.content == text }?.id
    guard let id = added ?? tokens.firstIndex(of: text).map({ Int32($0) }) else {
      throw VocabularySpec.malformed("\"\(text.prefix(64))\" is not in the vocabulary", field: key)
    }
    return id
  }

  /// Takes begin and end tokens from a `TemplateProcessing` post-processor.
  mutating func applyTemplate(_ processor: JSONValue?) {
    switch processor?["type"]?.asString {
    case "Sequence":
      for part in processor?["processors"]?.asArray ?? [] { applyTemplate(part) }
    case "TemplateProcessing":
      let single = processor?["single"]?.asArray ?? []
      let special = { (piece: JSONValue?) in piece?["SpecialToken"]?["id"]?.asString }
      let added = addedTokens ?? []
      let id = { (text: String?) in added.first { $0.content == text }?.id }
      if let token = id(special(single.first)) {
        bosID = token
        addsBOS = true
      }
      if single.count > 1, let token = id(special(single.last)) {
        eosID = token
        addsEOS = true
      }
    default: break
    }
  }

  /// Whether a normaliser is NFC.
  ///
  /// - Throws: `unsupported` naming another one.
  static func isNFC(_ normalizer: JSONValue?) throws -> Bool {
    guard let normalizer, !normalizer.isNull else { return false }
    switch normalizer["type"]?.asString {
    case "NFC": return true
    case "Sequence":
      return try (normalizer["normalizers"]?.asArray ?? []).reduce(false) { try isNFC($1) || $0 }
    default:
      throw unsupported(
        "the normaliser \(normalizer["type"]?.asString ?? "without a type")", field: "normalizer")
    }
  }

  /// - Throws: `unsupported` unless the decoder is the byte-level one.
  static func checkDecoder(_ decoder: JSONValue?) throws {
    let types =
      [decoder?["type"]?.asString] + (decoder?["decoders"]?.asArray ?? []).map { $0["type"]?.asString }
    guard types.contains("ByteLevel") else {
      throw unsupported("the decoder \((types.first ?? nil) ?? "none")", field: "decoder")
    }
  }
}
