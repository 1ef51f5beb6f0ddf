import Basics
import Foundation

extension VocabularySpec {
  /// Reads a Hugging Face folder: `tokenizer.json`, and where they are `tokenizer_config.json` and
  /// `chat_template.jinja`.
  ///
  /// - Throws: `fileUnavailable` without a `tokenizer.json`; `malformedFile` for broken files; `unsupported` naming
  ///   a model, normaliser or pre-tokenizer that is not implemented.
  public init(huggingFaceFolder folder: String) throws {
    let path = folder + "/tokenizer.json"
    let file = try MappedFile(path: path)
    do {
      try self.init(tokenizerJSON: file.bytes.assumingMemoryBound(to: UInt8.self))
    } catch let error as RetortError {
      throw error.naming(file: path)
    }
    let configPath = folder + "/tokenizer_config.json"
    if FileManager.default.fileExists(atPath: configPath) {
      let config = try MappedFile(path: configPath)
      do {
        try apply(config: config.bytes.assumingMemoryBound(to: UInt8.self))
      } catch let error as RetortError {
        throw error.naming(file: configPath)
      }
    }
    let templatePath = folder + "/chat_template.jinja"
    if FileManager.default.fileExists(atPath: templatePath) {
      let template = try MappedFile(path: templatePath)
      chatTemplate = String(decoding: template.bytes, as: UTF8.self)
    }
  }

  /// Reads the bytes of a `tokenizer.json`.
  ///
  /// - Throws: as ``init(huggingFaceFolder:)``, without the file's name.
  public init(tokenizerJSON bytes: UnsafeBufferPointer<UInt8>) throws {
    let root = try JSONParser.parse(bytes)
    guard let model = root["model"], model.members != nil else {
      throw VocabularySpec.malformed("there is no model", field: "model")
    }
    try VocabularySpec.checkModel(model)
    let pre = try HuggingFacePreTokenizer(root["pre_tokenizer"])
    let added = try VocabularySpec.literalTokens(root["added_tokens"])
    let texts = try VocabularySpec.tokenTexts(model["vocab"], added: added)
    self.init(
      tokens: texts.tokens, merges: try VocabularySpec.mergeLines(model["merges"]), tokenTypes: texts.types,
      preTokenizer: pre.preTokenizer)
    addsSpacePrefix = pre.addsSpacePrefix
    addedTokens = added
    normalizesNFC = try VocabularySpec.isNFC(root["normalizer"])
    ignoresMerges = model["ignore_merges"]?.asBool ?? false
    if let unknown = model["unk_token"]?.asString {
      guard let id = texts.tokens.firstIndex(of: unknown) else {
        throw VocabularySpec.malformed("the token is not in the vocabulary", field: "unk_token")
      }
      unknownID = Int32(id)
    }
    try VocabularySpec.checkDecoder(root["decoder"])
    applyTemplate(root["post_processor"])
  }

  private static func checkModel(_ model: JSONValue) throws {
    let type = model["type"]?.asString ?? "BPE"
    guard type == "BPE" else { throw unsupported("model \(type)", field: "model.type") }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"]
    where model[key]?.asString?.isEmpty == false {
      throw unsupported("a \(key)", field: "model.\(key)")
    }
    if model["byte_fallback"]?.asBool == true {
      throw unsupported("byte fallback (a SentencePiece vocabulary)", field: "model.byte_fallback")
    }
    if case .number(let dropout)? = model["dropout"], dropout != 0 {
      throw unsupported("merge dropout", field: "model.dropout")
    }
  }

  /// Token texts and types by id; ids without a token are unused.
  static func tokenTexts(
    _ vocab: JSONValue?, added: [AddedToken]
  ) throws -> (tokens: [String], types: [TokenType]) {
    guard let members = vocab?.members else {
      throw malformed("there is no vocabulary", field: "model.vocab")
    }
    // Gaps are rare and small; a huge id in a short vocabulary is damage, not a reason to allocate.
    let known: Int = members.count + added.count
    let limit: Int = known + known + 65_536
    var largest: Int32 = -1
    for token in added { largest = max(largest, token.id) }
    for member in members {
      guard let id = member.value.id, id >= 0 else {
        throw malformed("\"\(member.key.prefix(64))\" has no id", field: "model.vocab")
      }
      largest = max(largest, id)
    }
    guard largest < limit else {
      throw malformed("token id \(largest) is out of range", field: "model.vocab")
    }
    var tokens = [String](repeating: "", count: Int(largest) + 1)
    var types = [TokenType](repeating: .unused, count: Int(largest) + 1)
    for member in members {
      guard let id = member.value.id, types[Int(id)] == .unused else {
        throw malformed("two tokens have the same id", field: "model.vocab")
      }
      tokens[Int(id)] = member.key
      types[Int(id)] = .normal
    }
    for token in added {
      tokens[Int(token.id)] = token.content
      types[Int(token.id)] = token.isSpecial ? .control : .userDefined
    }
    return (tokens, types)
  }

  private static func mergeLines(_ merges: JSONValue?) throws -> [String] {
    guard let lines = merges?.asArray else { throw malformed("there are no merges", field: "model.merges") }
    return try lines.enumerated().map { rank, line in
      if let text = line.asString { return text }
      guard let pair = line.asArray, pair.count == 2, let left = pair[0].asString,
        let right = pair[1].asString
      else { throw malformed("merge \(rank) is not a pair", field: "model.merges") }
      return left + " " + right
    }
  }

  static func literalTokens(_ list: JSONValue?) throws -> [AddedToken] {
    guard let list, !list.isNull else { return [] }
    guard let elements = list.asArray else { throw malformed("not a list", field: "added_tokens") }
    return try elements.map { element in
      guard let id = element["id"]?.id, id >= 0, let content = element["content"]?.asString else {
        throw malformed("a token has no id or content", field: "added_tokens")
      }
      if element["single_word"]?.asBool == true {
        throw unsupported("single_word for \"\(content.prefix(64))\"", field: "added_tokens")
      }
      return AddedToken(
        id: id, content: content, isSpecial: element["special"]?.asBool ?? false,
        stripsLeft: element["lstrip"]?.asBool ?? false, stripsRight: element["rstrip"]?.asBool ?? false,
        isNormalized: element["normalized"]?.asBool ?? false)
    }
  }

  static func unsupported(_ what: String, field: String) -> RetortError {
    RetortError(
      .unsupported, "the tokenizer asks for \(what), which is not supported", field: field,
      remedy: "Use a model with a byte-level BPE tokenizer of GPT-2, SmolLM, Llama-3 or Qwen2.")
  }
}
