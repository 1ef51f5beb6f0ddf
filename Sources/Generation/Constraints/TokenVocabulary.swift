import Tokenizers

/// The texts of a tokenizer's tokens as a trie of bytes, shared by all constraints over it.
///
/// Control tokens, unused ids and tokens without a text are not in it; a constraint never allows them, except
/// the end-of-generation tokens where the text may end.
public final class TokenVocabulary: Sendable {
  /// The number of token ids, as many as a mask has bits.
  public let size: Int
  /// Ids with which an answer ends.
  public let endTokens: [Int32]

  /// A place in the trie, reached by the bytes on the way to it.
  struct Node {
    /// The first token that ends here, or -1.
    var token: Int32 = -1
    /// The index after the node's subtree.
    var skip: Int32 = 0
    /// 1 for a token's first byte.
    var depth: UInt16
    var byte: UInt8
    /// Whether `sameText` has more tokens that end here.
    var hasMore = false
  }

  /// The trie in preorder.
  let nodes: [Node]
  /// Tokens with the same text as another, by that one.
  let sameText: [Int32: [Int32]]
  let deepest: Int
  /// The bytes that are tokens of their own; only they can be part of a constrained text, so that no text ends
  /// in a stretch that no token writes.
  let singleBytes: ByteSet

  /// The longest text of a token, in bytes; longer ones are never allowed.
  private static let longestToken = 4096

  private let encoder: @Sendable (String) -> [Int32]
  private let textOffsets: [Int32]
  private let text: [UInt8]

  /// Makes the trie of a tokenizer.
  ///
  /// - Parameter size: the number of logits of the model, where it is more than the tokenizer's ids.
  public convenience init(_ tokenizer: Tokenizer, size: Int? = nil) {
    let ends = tokenizer.endOfGenerationIDs
    let texts = (0..<Int32(tokenizer.vocabularySize)).map { id in
      tokenizer.isSpecial(id) || tokenizer.isUnused(id) || ends.contains(id) ? [] : tokenizer.tokenBytes(id)
    }
    self.init(texts: texts, endTokens: ends.sorted(), size: size) {
      tokenizer.encode($0, parseSpecial: false)
    }
  }

  /// Makes the trie of token texts by id; an empty text is never allowed.
  init(
    texts: [[UInt8]], endTokens: [Int32], size: Int? = nil, encode: @escaping @Sendable (String) -> [Int32]
  ) {
    let width = max(size ?? 0, texts.count)
    self.size = width
    self.endTokens = endTokens.filter { $0 >= 0 && $0 < width }
    encoder = encode
    text = Array(texts.joined())
    textOffsets = texts.reduce(into: [0]) { $0.append($0[$0.count - 1] + Int32($1.count)) }
    let order = texts.indices.filter { !texts[$0].isEmpty && texts[$0].count <= TokenVocabulary.longestToken }
      .sorted { (texts[$0], $0) < (texts[$1], $1) }
    var trie = TrieBuilder()
    for id in order { trie.insert(texts[id], Int32(id)) }
    trie.finish()
    nodes = trie.nodes
    sameText = trie.sameText
    deepest = trie.nodes.reduce(0) { max($0, Int($1.depth)) }
    var singleBytes = ByteSet()
    for text in texts where text.count == 1 { singleBytes.insert(text[0]) }
    self.singleBytes = singleBytes
  }

  /// The bytes of a token, empty where no constraint allows it.
  func bytes(of token: Int32) -> ArraySlice<UInt8> {
    guard token >= 0, Int(token) + 1 < textOffsets.count else { return [] }
    return text[Int(textOffsets[Int(token)])..<Int(textOffsets[Int(token) + 1])]
  }

  /// The tokenizer's ids of a text, or `nil` where they do not spell it byte for byte.
  func encode(_ bytes: ArraySlice<UInt8>) -> [Int32]? {
    guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
    let ids = encoder(text)
    var offset = bytes.startIndex
    for id in ids {
      let part = self.bytes(of: id)
      guard !part.isEmpty, bytes[offset...].starts(with: part) else { return nil }
      offset += part.count
    }
    return offset == bytes.endIndex ? ids : nil
  }

  /// Ids that spell a text byte for byte: the tokenizer's where they do, else the longest tokens from the left.
  func spell(_ bytes: [UInt8]) -> [Int32] {
    if bytes.isEmpty { return [] }
    if let ids = encode(bytes[...]) { return ids }
    var ids: [Int32] = []
    var offset = 0
    while offset < bytes.count {
      let end = min(bytes.count, offset + deepest)
      var found: (id: Int32, end: Int)?
      for stop in stride(from: end, to: offset, by: -1) where found == nil {
        if let node = node(at: bytes[offset..<stop]), nodes[node].token >= 0 {
          found = (nodes[node].token, stop)
        }
      }
      // Every byte of a constrained text is a token of its own.
      guard let found else { break }
      ids.append(found.id)
      offset = found.end
    }
    return ids
  }

  /// The node that these bytes lead to.
  func node(at path: ArraySlice<UInt8>) -> Int? {
    var result: Int?
    var (child, end) = (0, nodes.count)
    for byte in path {
      while child < end, nodes[child].byte != byte { child = Int(nodes[child].skip) }
      guard child < end else { return nil }
      result = child
      end = Int(nodes[child].skip)
      child += 1
    }
    return result
  }
}

private func < (left: ([UInt8], Int), right: ([UInt8], Int)) -> Bool {
  if left.0 != right.0 { return left.0.lexicographicallyPrecedes(right.0) }
  return left.1 < right.1
}

/// Builds a trie in preorder from texts in order.
private struct TrieBuilder {
  var nodes: [TokenVocabulary.Node] = []
  var sameText: [Int32: [Int32]] = [:]
  private var path: [Int] = []
  private var last: [UInt8] = []

  mutating func insert(_ text: [UInt8], _ token: Int32) {
    var common = 0
    while common < min(last.count, text.count), last[common] == text[common] { common += 1 }
    close(to: common)
    for byte in text[common...] {
      path.append(nodes.count)
      nodes.append(.init(depth: UInt16(path.count), byte: byte))
    }
    // Texts come in order, so the text's node is the last one, also where the same text came before.
    let node = nodes.count - 1
    if nodes[node].token < 0 {
      nodes[node].token = token
    } else {
      nodes[node].hasMore = true
      sameText[nodes[node].token, default: []].append(token)
    }
    last = text
  }

  mutating func finish() { close(to: 0) }

  private mutating func close(to depth: Int) {
    while path.count > depth { nodes[path.removeLast()].skip = Int32(nodes.count) }
  }
}
