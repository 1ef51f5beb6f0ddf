/// A tokenizer's vocabulary and settings, independent of the file format it came from.
///
/// Both GGUF metadata (`tokenizer.ggml.*`) and a Hugging Face folder fill this in; ``Tokenizer`` checks it.
public struct VocabularySpec: Sendable {
  /// How text becomes tokens.
  public enum Kind: String, Sendable {
    /// GPT-2's byte-level byte-pair encoding.
    case byteLevelBPE
    /// SentencePiece (unigram or byte fallback); not supported yet.
    case sentencePiece
    /// BERT's WordPiece; not supported yet.
    case wordPiece
  }

  /// What a token is for; raw values are those of GGUF's `tokenizer.ggml.token_type`.
  public enum TokenType: Int32, Sendable {
    case undefined = 0
    case normal = 1
    case unknown = 2
    case control = 3
    case userDefined = 4
    case unused = 5
    case byte = 6
  }

  /// A token matched literally in the text before any byte-pair encoding.
  public struct AddedToken: Sendable, Equatable {
    public var id: Int32
    public var content: String
    /// Whether the token is a control token, which `parseSpecial: false` does not match.
    public var isSpecial: Bool
    /// Whether white space to the left is swallowed.
    public var stripsLeft: Bool
    /// Whether white space to the right is swallowed.
    public var stripsRight: Bool
    /// Whether the token is looked for after normalisation instead of before.
    public var isNormalized: Bool

    public init(
      id: Int32, content: String, isSpecial: Bool, stripsLeft: Bool = false, stripsRight: Bool = false,
      isNormalized: Bool = false
    ) {
      self.id = id
      self.content = content
      self.isSpecial = isSpecial
      self.stripsLeft = stripsLeft
      self.stripsRight = stripsRight
      self.isNormalized = isNormalized
    }
  }

  public var kind: Kind
  /// Token texts by id, in the byte-level alphabet.
  public var tokens: [String]
  /// Merges by rank, each `"left right"`.
  public var merges: [String]
  /// Token types by id; empty where the format has none, then every token is normal.
  public var tokenTypes: [TokenType]
  public var preTokenizer: PreTokenizer
  /// Tokens matched literally; `nil` derives them from ``tokenTypes`` (control and user-defined).
  public var addedTokens: [AddedToken]?
  public var bosID: Int32?
  public var eosID: Int32?
  public var padID: Int32?
  /// End of turn, where the format names one.
  public var eotID: Int32?
  /// Token for a byte that has no token of its own; without it such bytes are left out, as Hugging Face does.
  public var unknownID: Int32?
  public var addsBOS: Bool
  public var addsEOS: Bool
  /// Whether a space is put before a segment that does not start with one.
  public var addsSpacePrefix: Bool
  /// Whether text is put in Normalization Form C first.
  public var normalizesNFC: Bool
  /// Whether a whole pre-token that is in the vocabulary is taken without merging.
  public var ignoresMerges: Bool
  /// The Jinja chat template as written in the file.
  public var chatTemplate: String?

  /// Makes a specification; the settings that follow from the pre-tokenizer (NFC for Qwen2, whole-word lookup
  /// for Llama-3) default to it, as GGUF has no key for them.
  public init(
    kind: Kind = .byteLevelBPE, tokens: [String], merges: [String], tokenTypes: [TokenType] = [],
    preTokenizer: PreTokenizer
  ) {
    self.kind = kind
    self.tokens = tokens
    self.merges = merges
    self.tokenTypes = tokenTypes
    self.preTokenizer = preTokenizer
    addsBOS = false
    addsEOS = false
    addsSpacePrefix = false
    normalizesNFC = preTokenizer == .qwen2
    ignoresMerges = preTokenizer == .llama3
  }
}
