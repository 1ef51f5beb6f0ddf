import Basics
import Tensors

/// Reads back what a step's sequences ask for and chooses their tokens.
struct TokenChooser {
  struct Choice {
    var token: Int32 = 0
    var logProbability: Float = 0
    /// Log-probabilities of the forced choice's tokens.
    var chosen: [Float] = []
    /// Set where the row's logits are not numbers, and nothing can be chosen.
    var error: RetortError?
  }

  let vocabularySize: Int

  /// One choice a sequence, which are the rows of `logits` in order.
  func choose(_ sequences: [Sequence], _ logits: any StepLogits) throws -> [Choice] {
    var choices = [Choice](repeating: Choice(), count: sequences.count)
    var requests = sequences.map(request)
    var open = Set(sequences.indices)
    for index in sequences.indices {
      do {
        requests[index].allowed = try mask(sequences[index])
      } catch let error as RetortError {
        choices[index].error = error
        open.remove(index)
      }
    }
    let noisy = try sampleWithNoise(sequences, requests.map(\.allowed), logits)
    for (row, id) in noisy { requests[row].chosen = [id] }
    while !open.isEmpty {
      let rows = try logits.read(requests)
      for index in open.sorted() {
        let sequence = sequences[index]
        if case .choosing = sequence.phase {
          choices[index].chosen = rows[index].chosenLogProbabilities
          open.remove(index)
          continue
        }
        guard rows[index].logSumExp.isFinite else {
          choices[index].error = notNumbers(sequence)
          open.remove(index)
          continue
        }
        if let id = noisy[index] {
          choices[index] = Choice(token: id, logProbability: rows[index].chosenLogProbabilities.first ?? 0)
          open.remove(index)
          continue
        }
        switch Sampler.sample(
          rows[index], sequence.request.sampling, step: sequence.generated.count,
          vocabularySize: requests[index].allowed?.count ?? vocabularySize)
        {
        case .token(let id):
          let at = rows[index].topIDs.firstIndex(of: id) ?? 0
          choices[index] = Choice(
            token: id, logProbability: rows[index].topLogits[at] - rows[index].logSumExp)
          open.remove(index)
        case .needsCandidates(let count):
          requests[index].topCount = count
        }
      }
      // Rows that are done need nothing more from another round.
      for index in requests.indices where !open.contains(index) {
        requests[index] = LogProbabilityRequest(topCount: 0)
      }
    }
    return choices
  }

  /// What a generating sequence may choose from, nil for everything.
  private func mask(_ sequence: Sequence) throws -> AllowedTokens? {
    guard sequence.phase == .generating, let constraint = sequence.request.constraint else { return nil }
    let allowed = try sequence.narrowed ?? constraint.mask(sequence.state).allowed
    guard allowed.count > 0 else {
      throw RetortError(
        .invalidArgument, "the grammar leaves no token to go on with", field: "grammar",
        position: "token \(sequence.generated.count) of the answer",
        remedy: "Use characters that the model's tokenizer has.")
    }
    return allowed
  }

  private func notNumbers(_ sequence: Sequence) -> RetortError {
    RetortError(
      .deviceFailure, "the model's logits are not numbers", field: "logits",
      position: "token \(sequence.generated.count) of the answer",
      remedy: "Try --compute f32 or another backend; if it persists, the model file is damaged.")
  }

  private func request(_ sequence: Sequence) -> LogProbabilityRequest {
    if case .choosing(let index) = sequence.phase, let choice = sequence.request.forcedChoice {
      return LogProbabilityRequest(topCount: 0, chosen: choice.queries[index].tokens)
    }
    let sampling = sequence.request.sampling
    if sampling.isUntruncated { return LogProbabilityRequest(topCount: 0) }
    return LogProbabilityRequest(
      temperature: sampling.temperature > 0 ? sampling.temperature : 1,
      topCount: min(vocabularySize, Sampler.candidates(for: sampling)),
      penalized: sampling.repetitionPenalty == 1 ? [] : sequence.tokens,
      repetitionPenalty: sampling.repetitionPenalty)
  }

  /// Ids of the rows that sample from the whole vocabulary.
  private func sampleWithNoise(
    _ sequences: [Sequence], _ allowed: [AllowedTokens?], _ logits: any StepLogits
  ) throws -> [Int: Int32] {
    let rows = sequences.indices.filter {
      if case .choosing = sequences[$0].phase { return false }
      return sequences[$0].request.sampling.isUntruncated
    }
    guard !rows.isEmpty else { return [:] }
    let ids = try logits.gumbelArgmax(
      temperatures: sequences.map { max($0.request.sampling.temperature, Float.leastNormalMagnitude) },
      keys: sequences.map(\.request.sampling.seed),
      positions: sequences.map { UInt64($0.generated.count) }, allowed: allowed)
    return Dictionary(uniqueKeysWithValues: rows.map { ($0, ids[$0]) })
  }
}
