import Basics
import Tensors
import Tokenizers

/// What follows a step: tokens are accepted, sequences end or go over to their forced choice.
extension Engine {
  /// Does what a row's choice says.
  func apply(_ choice: TokenChooser.Choice, to id: Int, _ events: inout [Event]) {
    guard var sequence = scheduler[id] else { return }
    if case .choosing(let index) = sequence.phase, let forced = sequence.request.forcedChoice {
      sequence.choices.append(choice.chosen)
      scheduler[id] = sequence
      guard index + 1 < forced.queries.count else { return finish(id, &events) }
      return beginQuery(index + 1, forced, id)
    }
    if let error = choice.error {
      events.append(.failed(id: id, error))
      return forget(id)
    }
    do {
      if let constraint = sequence.request.constraint {
        try accept(choice, constraint, &sequence, &events)
      } else {
        accept(choice, &sequence, &events)
      }
    } catch {
      events.append(.failed(id: id, Engine.described(error)))
      return forget(id)
    }
    scheduler[id] = sequence
    if sequence.finishReason != nil { conclude(id, &events) }
  }

  /// Takes a chosen token, or ends generation.
  private func accept(_ choice: TokenChooser.Choice, _ sequence: inout Sequence, _ events: inout [Event]) {
    if sequence.request.endTokens.contains(choice.token) {
      sequence.finishReason = .stop
      return
    }
    append(choice.token, logProbability: choice.logProbability, to: &sequence, &events)
  }

  /// Appends a token of the answer, sampled or not, and ends generation where it completes a stop string or
  /// reaches a limit.
  func append(
    _ token: Int32, logProbability: Float, to sequence: inout Sequence, _ events: inout [Event]
  ) {
    sequence.generated.append(token)
    sequence.tokens.append(token)
    if sequence.request.wantsLogProbabilities { sequence.logProbabilities.append(logProbability) }
    if var detokenizer = detokenizers[sequence.id] {
      let piece = sequence.text.append(detokenizer.append(token))
      detokenizers[sequence.id] = detokenizer
      if !piece.isEmpty { events.append(.text(id: sequence.id, piece)) }
    }
    if sequence.text.isStopped {
      sequence.finishReason = .stop
    } else if sequence.request.constraint == nil,
      sequence.generated.count >= sequence.request.maxTokens
        || sequence.tokens.count + reserved(sequence.request) >= limits.context
    {
      sequence.finishReason = .length
    }
  }

  /// After generation: the forced choice where there is one, else the end.
  func conclude(_ id: Int, _ events: inout [Event]) {
    guard var sequence = scheduler[id] else { return }
    if var detokenizer = detokenizers[id], sequence.generated.count > 0 {
      var piece = sequence.text.append(detokenizer.finish())
      piece += sequence.text.finish()
      detokenizers[id] = detokenizer
      if !piece.isEmpty { events.append(.text(id: id, piece)) }
    }
    guard let choice = sequence.request.forcedChoice, !choice.queries.isEmpty else {
      scheduler[id] = sequence
      return finish(id, &events)
    }
    let base = sequence.request.prompt + keptTokens(sequence) + choice.cueTokens
    sequence.choiceBase = base.count
    scheduler[id] = sequence
    beginQuery(0, choice, id, after: base)
  }

  /// Sets a sequence's tokens to the forced choice's base and the path of a query.
  private func beginQuery(_ index: Int, _ choice: ForcedChoice, _ id: Int, after base: [Int32]? = nil) {
    guard var sequence = scheduler[id] else { return }
    sequence.phase = .choosing(index: index)
    scheduler[id] = sequence
    let base = base ?? Array(sequence.tokens.prefix(sequence.choiceBase))
    scheduler.rewrite(id, to: base + choice.queries[index].path)
  }

  /// The answer's tokens that a forced choice follows.
  ///
  /// The kept text is tokenised anew, so that the context at the choice is what its text says, however the stop
  /// string was split into tokens.
  private func keptTokens(_ sequence: Sequence) -> [Int32] {
    guard sequence.text.isStopped, let tokenizer else { return sequence.generated }
    let text = sequence.text.text
    let kept = tokenizer.encode(text, parseSpecial: false)
    guard sequence.request.prompt.count + kept.count + reserved(sequence.request) > room else { return kept }
    // Broken characters, written U+FFFD, take more tokens than were generated and do not fit: the generated
    // tokens do, as far as they lie within the kept text.
    var generated = sequence.generated
    while !text.utf8.starts(with: tokenizer.decode(generated, skipSpecial: true).utf8) {
      generated.removeLast()
    }
    return generated
  }

  private func finish(_ id: Int, _ events: inout [Event]) {
    guard let sequence = scheduler[id] else { return }
    let completion = Completion(
      promptTokens: sequence.request.prompt.count, tokens: sequence.generated,
      jumpedTokens: sequence.jumpedTokens, limitedTokens: sequence.limited,
      logProbabilities: sequence.logProbabilities,
      text: sequence.text.text,
      finishReason: sequence.finishReason ?? .length, choiceLogProbabilities: sequence.choices)
    events.append(.finished(id: id, completion))
    forget(id)
  }
}
