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
    /// Whether sequences that begin alike share cache blocks, and blocks outlive their sequences.
    public var prefixCache: Bool

    public init(
      sequences: Int, stepTokens: Int = 512, context: Int, cacheTokens: Int,
      blockSize: Int = ModelRunner.blockSize, prefixCache: Bool = true
    ) {
      self.sequences = sequences
      self.stepTokens = stepTokens
      self.context = context
      self.cacheTokens = cacheTokens
      self.blockSize = blockSize
      self.prefixCache = prefixCache
    }
  }

  /// What a step did for one sequence.
  public enum Event: Sendable {
    /// New text of a generating sequence.
    case text(id: Int, String)
    case finished(id: Int, Completion)
    case failed(id: Int, RetortError)
  }

  let runner: any StepRunner
  let tokenizer: Tokenizer?
  let limits: Limits
  var scheduler: Scheduler
  var detokenizers: [Int: StreamingDetokenizer] = [:]
  private var nextID = 0
  /// Requests with nothing to sample, since the last step.
  var immediate: [Int] = []
  /// What happened while requests were queued, for the next step to tell.
  var early: [Event] = []
  private var counts = (steps: 0, prefill: 0, decode: 0)

  /// - Parameter tokenizer: for text and stop strings; without one only token ids come out.
  public init(runner: any StepRunner, tokenizer: Tokenizer?, limits: Limits) {
    self.runner = runner
    self.tokenizer = tokenizer
    var limits = limits
    limits.blockSize = max(1, limits.blockSize)
    self.limits = limits
    scheduler = Scheduler(
      limits: .init(sequences: max(1, limits.sequences), tokens: max(1, limits.stepTokens)),
      blocks: BlockManager(
        blocks: (max(1, limits.cacheTokens) - 1) / limits.blockSize + 1,
        blockSize: limits.blockSize, sharesPrefixes: limits.prefixCache))
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
    if request.maxTokens <= 0 { immediate.append(id) } else { try begin(id) }
    return id
  }

  /// Queues `samples` requests that differ in their seed alone; returns their ids.
  ///
  /// The first sample is what the request alone gives; the others' seeds are drawn from its seed (Philox). They run as
  /// sequences of their own that share the prompt's full blocks through the prefix cache, so each computes no more
  /// of the prompt than its last, partial block.
  /// - Throws: as ``add(_:)``, with nothing queued.
  public func add(_ request: GenerationRequest, samples: Int) throws -> [Int] {
    let seeds = Philox(key: request.sampling.seed)
    return try (0..<max(0, samples)).map { sample in
      var request = request
      if sample > 0 {
        let words = seeds.words(UInt64(sample), .max)
        request.sampling.seed = UInt64(words[0]) << 32 | UInt64(words[1])
      }
      return try add(request)
    }
  }

  /// Tokens that one sequence may reach.
  var room: Int { min(limits.context, scheduler.blocks.total * limits.blockSize) }

  /// Tokens kept free for the forced choice.
  func reserved(_ request: GenerationRequest) -> Int {
    guard let choice = request.forcedChoice else { return 0 }
    return choice.cueTokens.count + (choice.queries.map(\.path.count).max() ?? 0)
  }

  /// Runs one step; returns what happened.
  ///
  /// - Throws: what the device reports, after which every sequence starts again at the next step; a sequence's own
  ///   failure is an event instead.
  public func step() throws -> [Event] {
    var events = early
    early = []
    beginImmediateChoices(&events)
    let plan = scheduler.schedule()
    for failure in plan.failures {
      detokenizers[failure.sequence] = nil
      events.append(.failed(id: failure.sequence, failure.error))
    }
    guard !plan.shares.isEmpty else { return events }
    let (batch, outputs) = try makeBatch(plan.shares)
    let choices: [TokenChooser.Choice]
    do {
      let logits = try runner.run(batch, outputRows: outputs.map(\.row))
      let sequences = outputs.compactMap { scheduler[$0.sequence] }
      choices =
        sequences.isEmpty
        ? [] : try TokenChooser(vocabularySize: runner.vocabularySize).choose(sequences, logits)
    } catch {
      scheduler.abandon()
      throw error
    }
    count(plan.shares)
    scheduler.commit(plan.shares)
    for (output, choice) in zip(outputs, choices) { apply(choice, to: output.sequence, &events) }
    return events
  }

  private func count(_ shares: [Scheduler.Share]) {
    counts.steps += 1
    for share in shares {
      if share.range.count == 1, scheduler[share.sequence]?.generated.isEmpty == false {
        counts.decode += 1
      } else {
        counts.prefill += share.range.count
      }
    }
  }

  /// Counts since the start, and the cache's state.
  public var statistics: Statistics {
    let (tally, blocks) = (scheduler.tally, scheduler.blocks)
    return Statistics(
      steps: counts.steps, prefillTokens: counts.prefill, decodeTokens: counts.decode,
      computedPromptTokens: tally.computedPromptTokens, cachedPromptTokens: tally.cachedPromptTokens,
      recomputedTokens: tally.recomputedTokens, preemptions: tally.preemptions,
      blocks: Statistics.Blocks(
        total: blocks.total, held: blocks.heldCount, shared: blocks.sharedCount, idle: blocks.idleCount,
        mostHeld: blocks.mostHeld, evicted: blocks.evictions))
  }

  /// A sequence that generates nothing goes straight to its forced choice.
  private func beginImmediateChoices(_ events: inout [Event]) {
    for id in immediate {
      guard var sequence = scheduler[id] else { continue }
      sequence.finishReason = sequence.finishReason ?? .length
      scheduler[id] = sequence
      conclude(id, &events)
    }
    immediate = []
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

  func forget(_ id: Int) {
    scheduler.remove(id)
    detokenizers[id] = nil
  }
}

extension Engine {
  /// Whether a running sequence has produced a token: the end of the first prefill.
  public var hasGenerated: Bool {
    scheduler.running.contains { !(scheduler[$0]?.generated.isEmpty ?? true) }
  }
}
