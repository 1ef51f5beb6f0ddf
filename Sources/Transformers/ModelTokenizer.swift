import Basics
import ModelFormats
import Tokenizers

extension VocabularySpec {
  /// The vocabulary that a model carries: GGUF's `tokenizer.ggml.*`, or the folder's `tokenizer.json`.
  ///
  /// - Throws: `malformedFile` naming the key; `unsupported` for a kind of tokenizer that is not implemented.
  public init(_ source: ModelSource) throws {
    switch source.format {
    case .huggingFace(let folder, _): try self.init(huggingFaceFolder: folder)
    case .gguf(let file): try self.init(file)
    }
  }

  private init(_ file: GGUFFile) throws {
    let model = try file.string("tokenizer.ggml.model")
    guard model == "gpt2" else {
      throw RetortError(
        .unsupported, "tokenizer “\(model)”", file: file.path, field: "tokenizer.ggml.model",
        remedy: "Use a model with a byte-level BPE tokenizer (gpt2), such as SmolLM2 or Qwen2.")
    }
    let pre = file.has("tokenizer.ggml.pre") ? try file.string("tokenizer.ggml.pre") : "default"
    let types = file.has("tokenizer.ggml.token_type") ? try file.integers("tokenizer.ggml.token_type") : []
    self.init(
      tokens: try file.strings("tokenizer.ggml.tokens"), merges: try file.strings("tokenizer.ggml.merges"),
      tokenTypes: types.map { Int32(exactly: $0).flatMap(TokenType.init) ?? .undefined },
      preTokenizer: try PreTokenizer(ggufName: pre))
    bosID = try VocabularySpec.id(file, "tokenizer.ggml.bos_token_id")
    eosID = try VocabularySpec.id(file, "tokenizer.ggml.eos_token_id")
    padID = try VocabularySpec.id(file, "tokenizer.ggml.padding_token_id")
    eotID = try VocabularySpec.id(file, "tokenizer.ggml.eot_token_id")
    if file.has("tokenizer.ggml.add_bos_token") { addsBOS = try file.bool("tokenizer.ggml.add_bos_token") }
    if file.has("tokenizer.ggml.add_space_prefix") {
      addsSpacePrefix = try file.bool("tokenizer.ggml.add_space_prefix")
    }
    if file.has("tokenizer.chat_template") { chatTemplate = try file.string("tokenizer.chat_template") }
  }

  private static func id(_ file: GGUFFile, _ key: String) throws -> Int32? {
    guard file.has(key) else { return nil }
    guard let id = Int32(exactly: try file.integer(key)) else {
      throw RetortError(
        .malformedFile, "the id is out of range", file: file.path, field: key,
        remedy: "The file is damaged; fetch or convert it again.")
    }
    return id
  }
}
