import Basics
import Generation
import Relevance
import Tokenizers

/// Turns pairs into token prompts, and the label set into the choice that is read at the label position.
public struct PromptEncoder: Sendable {
  /// How a rationale is held to the outline.
  public enum Form: String, Sendable, CaseIterable {
    /// By a grammar: every verdict is there, fixed text is not sampled.
    case fixed
    /// By the prompt alone.
    case free
  }

  public let prompt: RelevancePrompt
  public let trie: LabelTrie
  let tokenizer: Tokenizer
  let template: ChatTemplate
  let choice: ForcedChoice
  /// The outline's grammar, where rationales are held to it.
  let constraint: TokenConstraint?

  /// - Parameter vocabularySize: the number of the model's logits, where it is more than the tokenizer's ids.
  /// - Throws: `invalidArgument` where two labels become the same tokens; what the outline's grammar throws, for
  ///   example where the tokenizer has no token for one of its characters.
  public init(
    prompt: RelevancePrompt, tokenizer: Tokenizer, template: ChatTemplate, form: Form = .fixed,
    vocabularySize: Int? = nil
  ) throws {
    self.prompt = prompt
    self.tokenizer = tokenizer
    self.template = template
    trie = try LabelTrie(
      sequences: prompt.labelTexts.map { tokenizer.encode($0, parseSpecial: false) })
    let isDirect = prompt.answerPrefix == prompt.labelCue
    constraint =
      isDirect || form == .free
      ? nil
      : try TokenConstraint(
        Grammar(gbnf: prompt.outline.rationaleGrammar),
        vocabulary: TokenVocabulary(tokenizer, size: vocabularySize))
    // The grammar's own text ends with the cue.
    let cue = isDirect || constraint != nil ? "" : "\n" + prompt.labelCue
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
      prompt: tokens(pair), sampling: sampling, maxTokens: isDirect ? 0 : maxTokens,
      stopStrings: constraint == nil ? [stop] : [], endTokens: tokenizer.endOfGenerationIDs,
      forcedChoice: choice, constraint: constraint)
  }

  /// The rationale that a completion holds, without the label's cue; nil where none was asked for.
  func rationale(_ completion: Completion) -> String? {
    guard prompt.answerPrefix != prompt.labelCue else { return nil }
    let text = prompt.answerPrefix + completion.text
    return constraint != nil && text.hasSuffix(stop) ? String(text.dropLast(stop.count)) : text
  }

  /// The parsed rationale of a completion; a verdict that the limit of tokens had part in counts as none.
  func parsed(_ completion: Completion) -> Rationale? {
    rationale(completion).map { prompt.parser.parse($0, imposed: imposed(completion)) }
  }

  /// The bytes of the rationale that stand where the limit of tokens left less to choose from than the outline.
  private func imposed(_ completion: Completion) -> [Range<Int>] {
    guard !completion.limitedTokens.isEmpty else { return [] }
    var ends = [prompt.answerPrefix.utf8.count]
    for token in completion.tokens { ends.append(ends[ends.count - 1] + tokenizer.tokenBytes(token).count) }
    return completion.limitedTokens.filter { $0 + 1 < ends.count }.map { ends[$0]..<ends[$0 + 1] }
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
