import Basics
import Generation
import Relevance

/// Reads label distributions after answers that are given, not generated: so that two computations are compared on
/// the same text.
///
/// Not thread-safe: one task owns it.
public final class AnswerScorer {
  private let engine: Engine
  private let encoder: PromptEncoder
  private let batch: Int

  /// - Parameter encoder: of the form `fixed`, or for direct labels: an answer's tokens then end where the label
  ///   begins.
  /// - Parameter batch: pairs in flight.
  public init(engine: Engine, encoder: PromptEncoder, batch: Int) {
    self.engine = engine
    self.encoder = encoder
    self.batch = max(1, batch)
  }

  /// The label's distribution after each pair's prompt and answer, or why there is none, in the order given.
  ///
  /// - Parameter answers: tokens as ``Completion/tokens`` has them; none for a direct label.
  /// - Throws: what the device reports.
  public func distributions(
    after answers: [(pair: Pair, tokens: [Int32])], report: (Int) -> Void = { _ in }
  ) throws -> [Result<LabelDistribution, RetortError>] {
    var results: [Int: Result<LabelDistribution, RetortError>] = [:]
    var inFlight: [Int: Int] = [:]
    var next = 0
    while results.count < answers.count {
      while next < answers.count, inFlight.count < batch {
        let (pair, tokens) = answers[next]
        do {
          inFlight[try engine.add(encoder.scoringRequest(pair, answer: tokens))] = next
        } catch let error as RetortError {
          results[next] = .failure(error)
        }
        next += 1
      }
      guard !inFlight.isEmpty else { continue }
      for event in try engine.step() {
        switch event {
        case .text: break
        case .finished(let id, let completion):
          guard let place = inFlight.removeValue(forKey: id) else { continue }
          results[place] = read(completion)
        case .failed(let id, let error):
          guard let place = inFlight.removeValue(forKey: id) else { continue }
          results[place] = .failure(error)
        }
      }
      report(results.count)
    }
    return answers.indices.compactMap { results[$0] }
  }

  private func read(_ completion: Completion) -> Result<LabelDistribution, RetortError> {
    do {
      return .success(try encoder.distribution(completion))
    } catch {
      return .failure(
        error as? RetortError
          ?? RetortError(.deviceFailure, "\(error)", remedy: "Report this with the pair it happened on."))
    }
  }
}

extension PromptEncoder {
  /// A request that generates nothing and reads the label after `answer`.
  func scoringRequest(_ pair: Pair, answer: [Int32]) -> GenerationRequest {
    GenerationRequest(prompt: tokens(pair) + answer, maxTokens: 0, forcedChoice: choice)
  }
}
