import Basics
import Generation
import Relevance

/// Labels pairs with one engine: a rationale is generated, then the label is read as a distribution.
///
/// Not thread-safe: one task owns it.
public final class EngineLabeller: PairLabeller {
  public struct Settings: Sendable {
    public var sampling: SamplingParameters
    public var maxTokens: Int
    /// Pairs in flight.
    public var batch: Int
    /// The model's name in records.
    public var model: String

    public init(
      sampling: SamplingParameters = SamplingParameters(), maxTokens: Int, batch: Int, model: String
    ) {
      self.sampling = sampling
      self.maxTokens = maxTokens
      self.batch = batch
      self.model = model
    }
  }

  public let engine: Engine
  /// Sees each pair's completion, then with log-probabilities, before its record is made; for measuring and checking.
  public var observer: ((PairWork, Completion) -> Void)?
  private let encoder: PromptEncoder
  private let settings: Settings
  private var inFlight: [Int: PairWork] = [:]
  private var refused: [PairResult] = []

  public init(engine: Engine, encoder: PromptEncoder, settings: Settings) {
    self.engine = engine
    self.encoder = encoder
    self.settings = settings
  }

  public var capacity: Int { max(1, settings.batch) }

  public func submit(_ work: PairWork) throws {
    var request = encoder.request(work.pair, sampling: settings.sampling, maxTokens: settings.maxTokens)
    if observer != nil { request.wantsLogProbabilities = true }
    do {
      inFlight[try engine.add(request)] = work
    } catch let error as RetortError {
      refused.append(PairResult(row: work.row, outcome: .failure(error)))
    }
  }

  public func step() throws -> [PairResult] {
    var results = refused
    refused = []
    guard !inFlight.isEmpty else { return results }
    for event in try engine.step() {
      switch event {
      case .text: break
      case .finished(let id, let completion):
        guard let work = inFlight.removeValue(forKey: id) else { continue }
        observer?(work, completion)
        results.append(PairResult(row: work.row, outcome: record(work.pair, completion)))
      case .failed(let id, let error):
        guard let work = inFlight.removeValue(forKey: id) else { continue }
        results.append(PairResult(row: work.row, outcome: .failure(error)))
      }
    }
    return results
  }

  private func record(_ pair: Pair, _ completion: Completion) -> Result<LabelRecord, RetortError> {
    let prompt = encoder.prompt
    let text = encoder.rationale(completion)
    do {
      return .success(
        LabelRecord(
          pair: pair, distribution: try encoder.distribution(completion),
          rationaleText: text, rationale: encoder.parsed(completion),
          outline: prompt.outline, promptTokens: completion.promptTokens,
          generatedTokens: completion.tokens.count, jumpedTokens: completion.jumpedTokens,
          isTruncated: completion.finishReason == .truncated, model: settings.model,
          promptHash: prompt.promptHash))
    } catch let error as RetortError {
      return .failure(error)
    } catch {
      return .failure(
        RetortError(.deviceFailure, "\(error)", remedy: "Report this with the pair that it happened on."))
    }
  }
}
