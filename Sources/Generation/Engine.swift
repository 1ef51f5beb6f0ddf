import Basics
import Tensors
import Tokenizers

/// Generates many sequences together: `step()` = schedule → run → postprocess.
///
/// Not thread-safe: one task owns an engine.
public final class Engine {
  public struct Limits: Sendable {
    /// Sequences that run together.
    public var sequences: Int
    /// Tokens in a step, prefill and decode together.
    public var stepTokens: Int
    /// Tokens a sequence may reach.
    public var context: Int
    /// Tokens that the cache holds in all.
    public var cacheTokens: Int
    public var blockSize: Int

    public init(
      sequences: Int, stepTokens: Int = 512, context: Int, cacheTokens: Int,
      blockSize: Int = ModelRunner.blockSize
    ) {
      self.sequences = sequences
      self.stepTokens = stepTokens
      self.context = context
      self.cacheTokens = cacheTokens
      self.blockSize = blockSize
    }
  }

  /// What a step did for one sequence.
  public enum Event: Sendable {
    /// New text of a generating sequence.
    case text(id: Int, String)
    case finished(id: Int, Completion)
    case failed(id: Int, RetortError)
  }

  /// Counts since the start.
  public struct Statistics: Sendable {
    public var steps = 0
    public var prefillTokens = 0
    public var decodeTokens = 0
    public var preemptions = 0
  }

  public private(set) var statistics = Statistics()
  let runner: any StepRunner
  let tokenizer: Tokenizer?
  let limits: Limits
  var scheduler: Scheduler
  private var detokenizers: [Int: StreamingDetokenizer] = [:]
  private var nextID = 0

  /// - Parameter tokenizer: for text and stop strings; without one only token ids come out.
  public init(runner: any StepRunner, tokenizer: Tokenizer?, limits: Limits) {
    self.runner = runner
    self.tokenizer = tokenizer
    self.limits = limits
    scheduler = Scheduler(
      limits: .init(sequences: max(1, limits.sequences), tokens: max(1, limits.stepTokens)),
      blocks: BlockManager(
        blocks: max(1, (limits.cacheTokens + limits.blockSize - 1) / limits.blockSize),
        blockSize: limits.blockSize))
  }

  public var isIdle: Bool { scheduler.isEmpty }

  /// Sequences waiting or running.
  public var count: Int { scheduler.waiting.count + scheduler.running.count }

  /// Queues a request; returns its id.
  ///
  /// - Throws: `invalidArgument` for an empty prompt, a bad option or a token outside the vocabulary;
  ///   `contextOverflow` for a prompt that leaves no room in the context.
  public func add(_ request: GenerationRequest) throws -> Int {
    try request.sampling.validate()
    guard !request.prompt.isEmpty else {
      throw RetortError(.invalidArgument, "the prompt is empty", field: "prompt", remedy: "Give some text.")
    }
    let ids =
      request.prompt
      + (request.forcedChoice.map { $0.cueTokens + $0.queries.flatMap { $0.path + $0.tokens } } ?? [])
    guard ids.allSatisfy({ $0 >= 0 && Int($0) < runner.vocabularySize }) else {
      throw RetortError(
        .invalidArgument, "a token id is outside the vocabulary of \(runner.vocabularySize)", field: "prompt",
        remedy: "Use the tokenizer that belongs to the model.")
    }
    let needed = request.prompt.count + reserved(request) + (request.maxTokens > 0 ? 1 : 0)
    guard needed <= room else {
      throw RetortError(
        .contextOverflow, "the prompt of \(request.prompt.count) tokens does not fit a context of \(room)",
        field: "prompt", remedy: "Shorten the text or give a larger --context.")
    }
    let id = nextID
    nextID += 1
    scheduler.add(Sequence(id: id, arrival: id, request: request))
    if let tokenizer { detokenizers[id] = StreamingDetokenizer(tokenizer) }
    return id
  }

  /// Tokens that one sequence may reach.
  private var room: Int { min(limits.context, scheduler.blocks.total * limits.blockSize) }

  /// Tokens kept free for the forced choice.
  private func reserved(_ request: GenerationRequest) -> Int {
    guard let choice = request.forcedChoice else { return 0 }
    return choice.cueTokens.count + (choice.queries.map(\.path.count).max() ?? 0)
  }

  /// Runs one step; returns what happened.
  ///
  /// - Throws: what the device reports; a sequence's own failure is an event instead.
  public func step() throws -> [Event] {
    var events: [Event] = []
    beginImmediateChoices(&events)
    let shares: [Scheduler.Share]
    do {
      shares = try scheduler.schedule()
    } catch let error as RetortError where error.code == .contextOverflow {
      guard let id = scheduler.running.first ?? scheduler.waiting.first else { throw error }
      forget(id)
      return events + [.failed(id: id, error)]
    }
    statistics.preemptions = scheduler.preemptions
    guard !shares.isEmpty else { return events }
    let (batch, outputs) = try makeBatch(shares)
    let logits = try runner.run(batch, outputRows: outputs.map(\.row))
    statistics.steps += 1
    for share in shares {
      guard var sequence = scheduler[share.sequence] else { continue }
      if share.range.count == 1, sequence.generated.count > 0 {
        statistics.decodeTokens += 1
      } else {
        statistics.prefillTokens += share.range.count
      }
      sequence.computed = share.range.upperBound
      scheduler[share.sequence] = sequence
    }
    try postprocess(outputs.map(\.sequence), logits, &events)
    return events
  }

  /// A sequence that generates nothing goes straight to its forced choice.
  private func beginImmediateChoices(_ events: inout [Event]) {
    for id in scheduler.waiting {
      guard var sequence = scheduler[id], sequence.phase == .waiting, sequence.request.maxTokens <= 0 else {
        continue
      }
      sequence.finishReason = .length
      scheduler[id] = sequence
      conclude(id, &events)
    }
  }

  private func makeBatch(_ shares: [Scheduler.Share]) throws -> (BatchMetadata, [(sequence: Int, row: Int32)])
  {
    var tokens: [Int32] = []
    var slices: [SequenceSlice] = []
    var outputs: [(sequence: Int, row: Int32)] = []
    for share in shares {
      guard let sequence = scheduler[share.sequence] else { continue }
      slices.append(
        SequenceSlice(
          rowStart: tokens.count, rowCount: share.range.count, contextLength: share.range.upperBound,
          blockTable: sequence.blockTable))
      tokens += sequence.tokens[share.range]
      if share.range.upperBound == sequence.tokens.count {
        outputs.append((share.sequence, Int32(tokens.count - 1)))
      }
    }
    return (try BatchMetadata(tokenIDs: tokens, sequences: slices, blockSize: limits.blockSize), outputs)
  }

  private func forget(_ id: Int) {
    scheduler.remove(id)
    detokenizers[id] = nil
  }

  // MARK: Postprocess

  private func postprocess(_ ids: [Int], _ logits: any StepLogits, _ events: inout [Event]) throws {
    guard !ids.isEmpty else { return }
    let sequences = ids.compactMap { scheduler[$0] }
    let rows = try TokenChooser(vocabularySize: runner.vocabularySize).choose(sequences, logits)
    for (id, row) in zip(ids, rows) {
      guard var sequence = scheduler[id] else { continue }
      if case .choosing(let index) = sequence.phase, let choice = sequence.request.forcedChoice {
        sequence.choices.append(row.chosen)
        if index + 1 < choice.queries.count {
          sequence.beginQuery(index + 1, choice)
          scheduler[id] = sequence
        } else {
          scheduler[id] = sequence
          finish(id, &events)
        }
        continue
      }
      if let error = row.error {
        events.append(.failed(id: id, error))
        forget(id)
        continue
      }
      accept(row, &sequence, &events)
      scheduler[id] = sequence
      if sequence.finishReason != nil { conclude(id, &events) }
    }
  }

  /// Appends a generated token, or ends generation.
  private func accept(_ row: TokenChooser.Choice, _ sequence: inout Sequence, _ events: inout [Event]) {
    if sequence.request.endTokens.contains(row.token) {
      sequence.finishReason = .stop
      return
    }
    sequence.generated.append(row.token)
    sequence.tokens.append(row.token)
    if sequence.request.wantsLogProbabilities { sequence.logProbabilities.append(row.logProbability) }
    if var detokenizer = detokenizers[sequence.id] {
      let piece = sequence.text.append(detokenizer.append(row.token))
      detokenizers[sequence.id] = detokenizer
      if !piece.isEmpty { events.append(.text(id: sequence.id, piece)) }
    }
    if sequence.text.isStopped {
      sequence.finishReason = .stop
    } else if sequence.generated.count >= sequence.request.maxTokens
      || sequence.tokens.count + reserved(sequence.request) >= limits.context
    {
      sequence.finishReason = .length
    }
  }

  /// After generation: the forced choice where there is one, else the end.
  private func conclude(_ id: Int, _ events: inout [Event]) {
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
    let prompt = sequence.request.prompt
    let kept = keptTokens(sequence)
    let agreed = zip(kept, sequence.generated).prefix { $0 == $1 }.count
    sequence.tokens = prompt + kept + choice.cueTokens
    sequence.computed = min(sequence.computed, prompt.count + agreed)
    sequence.choiceBase = sequence.tokens.count
    sequence.beginQuery(0, choice)
    scheduler[id] = sequence
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
      logProbabilities: sequence.logProbabilities, text: sequence.text.text,
      finishReason: sequence.finishReason ?? .length, choiceLogProbabilities: sequence.choices)
    events.append(.finished(id: id, completion))
    forget(id)
  }
}

extension Engine {
  /// Whether a running sequence has produced a token: the end of the first prefill.
  public var hasGenerated: Bool {
    scheduler.running.contains { !(scheduler[$0]?.generated.isEmpty ?? true) }
  }
}
