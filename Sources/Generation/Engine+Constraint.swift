import Basics

/// Sequences under a grammar: what it leaves no choice about is appended without sampling, and near its limit an
/// answer is held to what can still end legally.
///
/// Everything here depends on the sequence alone. Before each token that is sampled, a legal ending is known that
/// fits what is left of the limit (`Sequence.ending`), and only tokens are allowed after which there is one again.
extension Engine {
  /// The grammar's beginning of a new sequence: its first fixed text, or all of it.
  ///
  /// - Throws: `contextOverflow`, with the sequence forgotten, where not even the shortest answer fits.
  func begin(_ id: Int) throws {
    guard var sequence = scheduler[id], let constraint = sequence.request.constraint else { return }
    var events: [Event] = []
    do {
      try check(constraint, sequence)
      release(constraint)
      sequence.lease = ConstraintLease(constraint)
      sequence.state = constraint.start
      sequence.ending = try constraint.closing(constraint.start)
      if sequence.ending.count > left(sequence) {
        close(&sequence, &events)
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
      sequence.isLimited = sequence.isLimited || sequence.narrowed != nil
      sequence.finishReason = sequence.isLimited ? .truncated : .stop
      return
    }
    guard let next = try constraint.advance(sequence.state, token: choice.token) else {
      throw RetortError(
        .deviceFailure, "token \(choice.token) was chosen, which the grammar does not allow",
        field: "grammar",
        position: "token \(sequence.generated.count) of the answer",
        remedy: "Report this with the model and the grammar.")
    }
    var ending = try constraint.closing(next)
    // What is left of the known ending may be the shorter one: a text's end, spelled alone, can take more tokens.
    if choice.token == sequence.ending.first, sequence.ending.count <= ending.count {
      ending = Array(sequence.ending.dropFirst())
    }
    guard ending.count < left(sequence) else { return close(&sequence, &events) }
    if sequence.narrowed != nil { limit(&sequence) }
    sequence.ending = ending
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
      var ending = try constraint.closing(jump.state)
      if sequence.ending.starts(with: jump.tokens) {
        let rest = sequence.ending.dropFirst(jump.tokens.count)
        if rest.count < ending.count { ending = Array(rest) }
      }
      // Fixed text that takes more tokens on its own than in the known ending is written token by token.
      guard jump.tokens.count + ending.count <= left(sequence) else { break }
      appendJumped(jump.tokens, &sequence, &events)
      sequence.state = jump.state
      sequence.ending = ending
      if sequence.finishReason != nil { return }
    }
    if try constraint.isComplete(sequence.state) {
      sequence.finishReason = sequence.isLimited ? .truncated : .stop
    } else if left(sequence) <= 0 {
      // The known ending fits nothing, so the text may end here.
      sequence.finishReason = sequence.isLimited ? .truncated : .length
    } else {
      try narrow(constraint, &sequence)
    }
  }

  /// Sets what may follow where the limit is near; ends a text that may end and has no room to go on.
  private func narrow(_ constraint: TokenConstraint, _ sequence: inout Sequence) throws {
    let next = try constraint.mask(sequence.state, room: left(sequence), ending: sequence.ending)
    sequence.narrowed = next.isNarrowed ? next.mask : nil
    if next.isNarrowed, next.mask.count == 0 { sequence.finishReason = .truncated }
  }

  /// Notes that the limit has part in the next token.
  private func limit(_ sequence: inout Sequence) {
    sequence.isLimited = true
    sequence.limited.append(sequence.generated.count)
  }

  /// Ends an answer with the ending that fits, where the limit is less than any answer takes or a token that was
  /// chosen needs a longer ending than could be foreseen.
  private func close(_ sequence: inout Sequence, _ events: inout [Event]) {
    let first = sequence.generated.count
    appendJumped(sequence.ending, &sequence, &events)
    sequence.limited += first..<sequence.generated.count
    sequence.finishReason = .truncated
  }

  /// Lets a constraint forget states that no sequence is in, when it has become large.
  private func release(_ constraint: TokenConstraint) {
    guard constraint.isCrowded else { return }
    let live = scheduler.sequences.values.filter { $0.lease?.constraint === constraint }
    constraint.releaseStates(keeping: live.map(\.state))
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
