import Basics
import Generation
import Relevance
import Tokenizers

/// Turns pairs into token prompts, and the label set into the choice that is read at the label position.
public struct PromptEncoder: Sendable {
  public let prompt: RelevancePrompt
  public let trie: LabelTrie
  let tokenizer: Tokenizer
  let template: ChatTemplate
  let choice: ForcedChoice

  /// - Throws: `invalidArgument` where two labels become the same tokens.
  public init(prompt: RelevancePrompt, tokenizer: Tokenizer, template: ChatTemplate) throws {
    self.prompt = prompt
    self.tokenizer = tokenizer
    self.template = template
    trie = try LabelTrie(
      sequences: prompt.labelTexts.map { tokenizer.encode($0, parseSpecial: false) })
    let cue = prompt.answerPrefix == prompt.labelCue ? "" : "\n" + prompt.labelCue
    choice = ForcedChoice(
      cueTokens: tokenizer.encode(cue, parseSpecial: false),
      queries: trie.queries.map { ForcedChoice.Query(path: $0.path, tokens: $0.tokens) })
  }

  /// The stop string: where the rationale ends and the label begins.
  var stop: String { "\n" + prompt.labelCue }

  /// The prompt's tokens.
  ///
  /// Text that a shop wrote never becomes a control token: where it spells one, the turn is cut around it.
  public func tokens(_ pair: Pair) -> [Int32] {
    let user = prompt.user(pair)
    let mark = "\u{0}"
    let rendered = template.render(
      [ChatMessage(.system, prompt.system), ChatMessage(.user, mark)],
      bosToken: tokenizer.bosID.map { tokenizer.decode([$0], skipSpecial: false) })
    let parts = rendered.split(separator: mark, maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2 else { return tokenizer.encode(rendered + prompt.answerPrefix) }
    let isPlain = !tokenizer.encode(user).contains(where: tokenizer.isSpecial)
    if isPlain { return tokenizer.encode(parts[0] + user + parts[1] + prompt.answerPrefix) }
    return tokenizer.encode(String(parts[0])) + tokenizer.encode(user, parseSpecial: false)
      + tokenizer.encode(parts[1] + prompt.answerPrefix)
  }

  /// A request for one pair.
  func request(_ pair: Pair, sampling: SamplingParameters, maxTokens: Int) -> GenerationRequest {
    let isDirect = prompt.answerPrefix == prompt.labelCue
    return GenerationRequest(
      prompt: tokens(pair), sampling: sampling, maxTokens: isDirect ? 0 : maxTokens, stopStrings: [stop],
      endTokens: tokenizer.endOfGenerationIDs, forcedChoice: choice)
  }

  /// The exact distribution over the labels from a completion's read log-probabilities.
  func distribution(_ completion: Completion) throws -> LabelDistribution {
    var known: [[Int32]: [Int32: Double]] = [:]
    for (query, values) in zip(trie.queries, completion.choiceLogProbabilities) {
      known[query.path] = Dictionary(uniqueKeysWithValues: zip(query.tokens, values.map(Double.init)))
    }
    let probabilities = try trie.distribution { path, token in known[path]?[token] ?? -.infinity }
    return try LabelDistribution(labels: prompt.labels, probabilities: probabilities)
  }
}
