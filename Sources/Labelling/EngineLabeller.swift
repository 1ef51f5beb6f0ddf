import Basics
import Generation
import Relevance

/// Labels pairs with one engine: rationales are generated, after each the label is read as a distribution.
///
/// Not thread-safe: one task owns it.
public final class EngineLabeller: PairLabeller {
  public struct Settings: Sendable {
    /// How rationales are sampled; each pair's draws come from the seed and its prompt.
    public var sampling: SamplingParameters
    /// Rationales a pair.
    public var samples: Int
    /// Whether records keep every rationale.
    public var keepsAllSamples: Bool
    public var maxTokens: Int
    /// Rationales in flight.
    public var batch: Int
    /// The model's name in records.
    public var model: String
    /// Applied to each rationale's label distribution, before the vote; nil leaves it as the model gives it.
    public var calibration: LabelCalibration?

    public init(
      sampling: SamplingParameters = SamplingParameters(), samples: Int = 1, keepsAllSamples: Bool = false,
      maxTokens: Int, batch: Int, model: String
    ) {
      self.sampling = sampling
      self.samples = max(1, samples)
      self.keepsAllSamples = keepsAllSamples
      self.maxTokens = maxTokens
      self.batch = batch
      self.model = model
    }
  }

  public let engine: Engine
  /// Sees the completions of each pair, then with log-probabilities, in the order of the draws before its record is
  /// made; for measuring and checking.
  public var observer: ((PairWork, Completion) -> Void)?
  private let encoder: PromptEncoder
  private let settings: Settings
  /// By row.
  private var inFlight: [Int: PairSamples] = [:]
  /// Row and place of the draw, by the engine's id.
  private var places: [Int: (row: Int, sample: Int)] = [:]
  private var refused: [PairResult] = []

  public init(engine: Engine, encoder: PromptEncoder, settings: Settings) {
    self.engine = engine
    self.encoder = encoder
    self.settings = settings
  }

  public var capacity: Int { max(1, settings.batch / settings.samples) }

  public func submit(_ work: PairWork) throws {
    var request = encoder.request(work.pair, sampling: settings.sampling, maxTokens: settings.maxTokens)
    request.sampling.seed = PairSamples.seed(settings.sampling.seed, prompt: request.prompt)
    if observer != nil { request.wantsLogProbabilities = true }
    do {
      let ids = try engine.add(request, samples: settings.samples)
      inFlight[work.row] = PairSamples(work: work, count: ids.count)
      for (sample, id) in ids.enumerated() { places[id] = (work.row, sample) }
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
      case .finished(let id, let completion): take(id, .success(completion), &results)
      case .failed(let id, let error): take(id, .failure(error), &results)
      }
    }
    return results
  }

  /// Puts a sample's outcome in its place; the pair is done with the last.
  private func take(_ id: Int, _ outcome: Result<Completion, RetortError>, _ results: inout [PairResult]) {
    guard let place = places.removeValue(forKey: id), var pair = inFlight[place.row] else { return }
    pair.outcomes[place.sample] = outcome
    inFlight[place.row] = pair
    guard pair.isComplete else { return }
    inFlight[place.row] = nil
    if let observer {
      for case .success(let completion)? in pair.outcomes { observer(pair.work, completion) }
    }
    results.append(PairResult(row: place.row, outcome: record(pair)))
  }

  /// A pair's record, of those samples that did not fail.
  private func record(_ pair: PairSamples) -> Result<LabelRecord, RetortError> {
    let prompt = encoder.prompt
    do {
      let (completions, samples) = try pair.successes(sample)
      return .success(
        try LabelRecord(
          pair: pair.work.pair, samples: samples, sampling: recordedSampling, outline: prompt.outline,
          promptTokens: completions.first?.promptTokens ?? 0, model: settings.model,
          promptHash: prompt.promptHash, calibration: settings.calibration))
    } catch {
      return .failure(PairSamples.described(error))
    }
  }

  /// One rationale, parsed, with its label distribution.
  private func sample(_ completion: Completion) throws -> LabelSample {
    let read = try encoder.distribution(completion)
    return LabelSample(
      distribution: try settings.calibration?.apply(read) ?? read,
      rationaleText: encoder.rationale(completion),
      rationale: encoder.parsed(completion), generatedTokens: completion.tokens.count,
      jumpedTokens: completion.jumpedTokens, isTruncated: completion.finishReason == .truncated)
  }

  private var recordedSampling: LabelRecord.Sampling? {
    guard settings.sampling.temperature > 0 else { return nil }
    return LabelRecord.Sampling(
      samples: settings.samples, temperature: Double(String(settings.sampling.temperature)) ?? 0,
      topP: Double(String(settings.sampling.topP)) ?? 1, seed: settings.sampling.seed,
      keepsAll: settings.keepsAllSamples)
  }
}
