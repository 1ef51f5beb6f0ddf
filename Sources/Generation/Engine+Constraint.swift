import Basics

/// Sequences under a grammar: what it leaves no choice about is appended without sampling, and an answer that would
/// not end within its limit is closed legally.
///
/// Everything here depends on the sequence alone. Before each token that is sampled, the grammar's shortest ending
/// fits what is left of the limit; a token after which it would not is dropped, and the ending put in its place.
extension Engine {
  /// The grammar's beginning of a new sequence: its first fixed text, or all of it.
  ///
  /// - Throws: `contextOverflow`, with the sequence forgotten, where not even the shortest answer fits.
  func begin(_ id: Int) throws {
    guard var sequence = scheduler[id], let constraint = sequence.request.constraint else { return }
    var events: [Event] = []
    do {
      try check(constraint, sequence)
      sequence.state = constraint.start
      if try constraint.closing(constraint.start).count > left(sequence) {
        try close(constraint, &sequence, &events)
      } else {
        try jump(constraint, &sequence, &events)
      }
    } catch {
      forget(id)
      throw error
    }
    scheduler[id] = sequence
    early += events
    if sequence.finishReason != nil { immediate.append(id) }
  }

  private func check(_ constraint: TokenConstraint, _ sequence: Sequence) throws {
    guard constraint.vocabulary.size == runner.vocabularySize else {
      throw RetortError(
        .invalidArgument,
        "the grammar is for \(constraint.vocabulary.size) tokens, the model has \(runner.vocabularySize)",
        field: "grammar", remedy: "Use the tokenizer that belongs to the model.")
    }
    let shortest = try constraint.closing(constraint.start).count
    guard sequence.tokens.count + reserved(sequence.request) + shortest <= room else {
      throw RetortError(
        .contextOverflow,
        "the prompt and the grammar's shortest answer of \(shortest) tokens do not fit a context of \(room)",
        field: "prompt", remedy: "Shorten the text or give a larger --context.")
    }
  }

  /// Tokens that the answer may still take.
  private func left(_ sequence: Sequence) -> Int {
    min(
      sequence.request.maxTokens - sequence.generated.count,
      room - reserved(sequence.request) - sequence.tokens.count)
  }

  /// Takes a token chosen under the mask, and what follows it by itself.
  func accept(
    _ choice: TokenChooser.Choice, _ constraint: TokenConstraint, _ sequence: inout Sequence,
    _ events: inout [Event]
  ) throws {
    if constraint.vocabulary.endTokens.contains(choice.token)
      || sequence.request.endTokens.contains(choice.token)
    {
      sequence.finishReason = .stop
      return
    }
    guard let next = try constraint.advance(sequence.state, token: choice.token) else {
      throw RetortError(
        .deviceFailure, "token \(choice.token) was chosen, which the grammar does not allow",
        field: "grammar",
        position: "token \(sequence.generated.count) of the answer",
        remedy: "Report this with the model and the grammar.")
    }
    guard try constraint.closing(next).count < left(sequence) else {
      return try close(constraint, &sequence, &events)
    }
    append(choice.token, logProbability: choice.logProbability, to: &sequence, &events)
    sequence.state = next
    if sequence.finishReason == nil { try jump(constraint, &sequence, &events) }
  }

  /// Appends what the grammar leaves no choice about; ends a complete answer.
  private func jump(_ constraint: TokenConstraint, _ sequence: inout Sequence, _ events: inout [Event]) throws
  {
    while true {
      let jump = try constraint.jump(sequence.state)
      guard !jump.tokens.isEmpty else { break }
      guard try jump.tokens.count + constraint.closing(jump.state).count <= left(sequence) else {
        return try close(constraint, &sequence, &events)
      }
      appendJumped(jump.tokens, &sequence, &events)
      sequence.state = jump.state
      if sequence.finishReason != nil { return }
    }
    if try constraint.isComplete(sequence.state) {
      sequence.finishReason = .stop
    } else if left(sequence) <= 0 {
      // The shortest ending fits nothing, so the text may end here.
      sequence.finishReason = .length
    }
  }

  /// Ends an answer with the grammar's shortest ending.
  private func close(_ constraint: TokenConstraint, _ sequence: inout Sequence, _ events: inout [Event])
    throws
  {
    appendJumped(try constraint.closing(sequence.state), &sequence, &events)
    sequence.finishReason = .truncated
  }

  private func appendJumped(_ tokens: [Int32], _ sequence: inout Sequence, _ events: inout [Event]) {
    for token in tokens {
      append(token, logProbability: 0, to: &sequence, &events)
      sequence.jumpedTokens += 1
      if sequence.finishReason != nil { return }
    }
  }

  /// Errors that are the sequence's own, as an event carries them.
  static func described(_ error: any Error) -> RetortError {
    error as? RetortError
      ?? RetortError(.deviceFailure, "\(error)", remedy: "Report this with the prompt it happened on.")
  }
}
