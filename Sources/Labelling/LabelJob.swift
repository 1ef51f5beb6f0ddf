import Basics
import Generation
import Relevance
import Tokenizers

/// Labels a stream of pairs: reads ahead a little, keeps the engine full, and hands out records in input order.
///
/// Not thread-safe: one task owns a job.
public final class LabelJob {
  public struct Settings: Sendable {
    public var sampling: SamplingParameters
    public var maxTokens: Int
    /// Pairs in flight.
    public var batch: Int
    /// Pairs to label at most.
    public var limit: Int?
    /// The model's name in records.
    public var model: String

    public init(
      sampling: SamplingParameters = SamplingParameters(), maxTokens: Int, batch: Int, limit: Int? = nil,
      model: String
    ) {
      self.sampling = sampling
      self.maxTokens = maxTokens
      self.batch = batch
      self.limit = limit
      self.model = model
    }
  }

  /// A row's result, in input order.
  public enum Outcome {
    case record(Pair, LabelRecord)
    case error(RowError)
  }

  public private(set) var labelled = 0
  public private(set) var failed = 0
  private let engine: Engine
  private let encoder: PromptEncoder
  private let reader: PairReader
  private let settings: Settings
  private var inFlight: [Int: (row: Int, line: Int, pair: Pair)] = [:]
  private var ready: [Int: Outcome] = [:]
  private var nextRow = 0
  private var nextOut = 0
  private var taken = 0
  private var isExhausted = false

  public init(engine: Engine, encoder: PromptEncoder, reader: PairReader, settings: Settings) {
    self.engine = engine
    self.encoder = encoder
    self.reader = reader
    var settings = settings
    settings.batch = max(1, settings.batch)
    self.settings = settings
  }

  public var isDone: Bool { isExhausted && inFlight.isEmpty && ready.isEmpty }

  /// Runs one engine step; returns the outcomes whose turn has come.
  ///
  /// - Throws: what the device or the reader reports; a bad row is an outcome instead.
  public func step() throws -> [Outcome] {
    try fill()
    for event in try engine.step() {
      switch event {
      case .text: break
      case .finished(let id, let completion): try finish(id, completion)
      case .failed(let id, let error):
        if let work = inFlight.removeValue(forKey: id) {
          ready[work.row] = .error(RowError(line: work.line, pairID: work.pair.pairID, reason: error))
        }
      }
    }
    var outcomes: [Outcome] = []
    while let outcome = ready.removeValue(forKey: nextOut) {
      nextOut += 1
      switch outcome {
      case .record: labelled += 1
      case .error: failed += 1
      }
      outcomes.append(outcome)
    }
    return outcomes
  }

  /// Reads rows until the engine is full. Rows waiting for an earlier one count too, so memory stays bounded.
  private func fill() throws {
    while !isExhausted, inFlight.count < settings.batch, ready.count < settings.batch * 8 {
      if let limit = settings.limit, taken >= limit {
        isExhausted = true
        return
      }
      guard let row = try reader.next() else {
        isExhausted = true
        return
      }
      taken += 1
      defer { nextRow += 1 }
      switch row {
      case .error(let error): ready[nextRow] = .error(error)
      case .pair(let pair, let line):
        do {
          let request = encoder.request(
            pair, sampling: settings.sampling, maxTokens: settings.maxTokens)
          inFlight[try engine.add(request)] = (nextRow, line, pair)
        } catch let error as RetortError {
          ready[nextRow] = .error(RowError(line: line, pairID: pair.pairID, reason: error))
        }
      }
    }
  }

  private func finish(_ id: Int, _ completion: Completion) throws {
    guard let work = inFlight.removeValue(forKey: id) else { return }
    let prompt = encoder.prompt
    let isDirect = prompt.answerPrefix == prompt.labelCue
    let text = isDirect ? "" : prompt.answerPrefix + completion.text
    let distribution: LabelDistribution
    do {
      distribution = try encoder.distribution(completion)
    } catch let error as RetortError {
      ready[work.row] = .error(RowError(line: work.line, pairID: work.pair.pairID, reason: error))
      return
    }
    let record = LabelRecord(
      pair: work.pair, distribution: distribution, rationaleText: isDirect ? nil : text,
      rationale: isDirect ? nil : prompt.parser.parse(text),
      outline: prompt.outline, promptTokens: completion.promptTokens,
      generatedTokens: completion.tokens.count, model: settings.model, promptHash: prompt.promptHash)
    ready[work.row] = .record(work.pair, record)
  }
}
