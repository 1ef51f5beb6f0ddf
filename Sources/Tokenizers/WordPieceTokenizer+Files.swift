import Basics
import Foundation

extension WordPieceTokenizer {
  /// Whether a folder's tokenizer is WordPiece: by `tokenizer.json` where there is one, else by `vocab.txt`.
  ///
  /// - Throws: `fileUnavailable`; `malformedFile` for broken JSON.
  public static func isPresent(inFolder folder: String) throws -> Bool {
    let path = folder + "/tokenizer.json"
    guard FileManager.default.fileExists(atPath: path) else {
      return FileManager.default.fileExists(atPath: folder + "/vocab.txt")
    }
    return try json(path)["model"]?["type"]?.asString == "WordPiece"
  }

  /// Reads `tokenizer.json`, or without one `vocab.txt` and, where it is there, `tokenizer_config.json`.
  ///
  /// Truncation and padding written in the file are not taken over: lengths are the caller's choice.
  ///
  /// - Throws: `fileUnavailable` without either file; `malformedFile` for a broken one; `unsupported` naming a model,
  ///   normaliser, pre-tokenizer or template that is not BERT's.
  public convenience init(folder: String) throws {
    let path = folder + "/tokenizer.json"
    if FileManager.default.fileExists(atPath: path) {
      let root = try WordPieceTokenizer.json(path)
      do { try self.init(root) } catch let error as RetortError { throw error.naming(file: path) }
    } else {
      let vocabulary = folder + "/vocab.txt"
      let file = try MappedFile(path: vocabulary)
      let configPath = folder + "/tokenizer_config.json"
      let config =
        FileManager.default.fileExists(atPath: configPath) ? try WordPieceTokenizer.json(configPath) : nil
      do {
        let text = withExtendedLifetime(file) { String(validating: file.bytes, as: UTF8.self) }
        try self.init(vocabulary: text, config: config)
      } catch let error as RetortError {
        throw error.naming(file: vocabulary)
      }
    }
  }

  private static func json(_ path: String) throws -> JSONValue {
    let file = try MappedFile(path: path)
    do {
      return try withExtendedLifetime(file) {
        try JSONParser.parse(file.bytes.assumingMemoryBound(to: UInt8.self))
      }
    } catch let error as RetortError {
      throw error.naming(file: path)
    }
  }

  /// From the parsed `tokenizer.json`.
  convenience init(_ root: JSONValue) throws {
    guard let model = root["model"], model.members != nil else {
      throw VocabularySpec.malformed("there is no model", field: "model")
    }
    guard model["type"]?.asString == "WordPiece" else {
      throw Self.unsupported("model \(model["type"]?.asString ?? "without a type")", field: "model.type")
    }
    guard root["pre_tokenizer"]?["type"]?.asString == "BertPreTokenizer" else {
      throw Self.unsupported("a pre-tokenizer that is not BERT's", field: "pre_tokenizer")
    }
    var settings = Settings()
    settings.normalizer = try Self.normalizer(root["normalizer"])
    settings.prefix = model["continuing_subword_prefix"]?.asString ?? settings.prefix
    settings.unknown = model["unk_token"]?.asString ?? settings.unknown
    if let limit = model["max_input_chars_per_word"] {
      guard let count = limit.id else {
        throw VocabularySpec.malformed("not a whole number", field: "model.max_input_chars_per_word")
      }
      settings.longestWord = Int(count)
    }
    try Self.readTemplate(root["post_processor"], into: &settings)
    let added = try VocabularySpec.literalTokens(root["added_tokens"])
    for token in added where token.isNormalized && !token.isSpecial {
      throw Self.unsupported("the normalised token \"\(token.content.prefix(64))\"", field: "added_tokens")
    }
    let pieces = try VocabularySpec.tokenTexts(model["vocab"], added: added).tokens
    try self.init(pieces: pieces, addedTokens: added, settings: settings)
  }

  /// From the lines of a `vocab.txt`.
  convenience init(vocabulary: String?, config: JSONValue?) throws {
    guard let text = vocabulary else {
      throw VocabularySpec.malformed("not UTF-8", field: "vocab.txt")
    }
    var pieces = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      String(line.last == "\r" ? line.dropLast() : line)
    }
    while pieces.last?.isEmpty == true { pieces.removeLast() }
    guard pieces.count < 1 << 24 else {
      throw VocabularySpec.malformed(
        "\(pieces.count) tokens are more than any vocabulary has", field: "vocab.txt")
    }
    var settings = Settings()
    settings.normalizer = BertNormalizer(
      separatesChinese: config?["tokenize_chinese_chars"]?.asBool ?? true,
      stripsAccents: config?["strip_accents"]?.asBool, lowercases: config?["do_lower_case"]?.asBool ?? true)
    func name(_ key: String, _ usual: String) -> String {
      config?[key]?.asString ?? config?[key]?["content"]?.asString ?? usual
    }
    settings.unknown = name("unk_token", settings.unknown)
    settings.classification = name("cls_token", settings.classification)
    settings.separator = name("sep_token", settings.separator)
    settings.padding = name("pad_token", settings.padding)
    let special = [
      settings.unknown, settings.classification, settings.separator, settings.padding,
      name("mask_token", "[MASK]"),
    ]
    let added = pieces.indices.filter { special.contains(pieces[$0]) }.map {
      VocabularySpec.AddedToken(id: Int32($0), content: pieces[$0], isSpecial: true)
    }
    try self.init(pieces: pieces, addedTokens: added, settings: settings)
  }

  private static func normalizer(_ entry: JSONValue?) throws -> BertNormalizer {
    guard entry?["type"]?.asString == "BertNormalizer" else {
      throw unsupported("a normaliser that is not BERT's", field: "normalizer")
    }
    return BertNormalizer(
      cleansText: entry?["clean_text"]?.asBool ?? true,
      separatesChinese: entry?["handle_chinese_chars"]?.asBool ?? true,
      stripsAccents: entry?["strip_accents"]?.asBool, lowercases: entry?["lowercase"]?.asBool ?? true)
  }

  /// Takes the tokens around a text from `BertProcessing` or a `TemplateProcessing` of BERT's shape.
  private static func readTemplate(_ entry: JSONValue?, into settings: inout Settings) throws {
    switch entry?["type"]?.asString {
    case nil: return
    case "BertProcessing":
      settings.classification = entry?["cls"]?.asArray?.first?.asString ?? settings.classification
      settings.separator = entry?["sep"]?.asArray?.first?.asString ?? settings.separator
    case "TemplateProcessing":
      let shape = try template(entry?["pair"])
      guard shape.count == 5, shape[1] == "A0", shape[3] == "B1", shape[2].hasPrefix("0"),
        shape[4].hasPrefix("1"),
        shape[0].hasPrefix("0"), shape[2].dropFirst() == shape[4].dropFirst()
      else { throw unsupported("a template that is not BERT's", field: "post_processor") }
      settings.classification = String(shape[0].dropFirst())
      settings.separator = String(shape[2].dropFirst())
    case .some(let other): throw unsupported("the post-processor \(other)", field: "post_processor")
    }
  }

  /// A template's pieces: `A0` for a text and its segment, `0[SEP]` for a special token.
  private static func template(_ pieces: JSONValue?) throws -> [String] {
    try (pieces?.asArray ?? []).map { piece in
      if let text = piece["Sequence"], let id = text["id"]?.asString, let type = text["type_id"]?.id {
        return "\(id)\(type)"
      }
      guard let token = piece["SpecialToken"], let id = token["id"]?.asString, let type = token["type_id"]?.id
      else { throw VocabularySpec.malformed("a piece of the template is broken", field: "post_processor") }
      return "\(type)\(id)"
    }
  }

  static func unsupported(_ what: String, field: String) -> RetortError {
    RetortError(
      .unsupported, "the tokenizer asks for \(what), which is not supported", field: field,
      remedy: "Use an encoder with BERT's WordPiece tokenizer, such as all-MiniLM-L6-v2.")
  }
}
