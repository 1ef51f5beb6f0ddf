import Basics
import Dispatch
import Foundation
import Generation
import Labelling
import Relevance
import Tensors

/// How pairs are labelled in a measurement.
struct LabelRun {
  let session: ModelSession
  let prompt: RelevancePrompt
  let form: PromptEncoder.Form
  var maxTokens: Int
  var context: Int
  var batch: Int
  var prefixCache = true
  var sampling = SamplingParameters()
  var samples = 1

  /// As 'retort label' makes it, on `clock`'s runner.
  func makeEngine(_ clock: StepClock) -> Engine {
    Engine(
      runner: clock, tokenizer: session.tokenizer,
      limits: .init(
        sequences: batch, context: context, cacheTokens: cacheTokens, prefixCache: prefixCache))
  }

  var cacheTokens: Int { max(context, batch * min(context, 1024)) }

  func makeLabeller(_ engine: Engine) throws -> EngineLabeller {
    EngineLabeller(
      engine: engine, encoder: try makeEncoder(),
      settings: .init(
        sampling: sampling, samples: samples, maxTokens: maxTokens, batch: batch,
        model: session.name))
  }

  func makeEncoder() throws -> PromptEncoder {
    try PromptEncoder(
      prompt: prompt, tokenizer: session.tokenizer, template: session.template, form: form,
      vocabularySize: session.source.configuration.vocabularySize)
  }
}

/// What labelling some pairs into nothing took.
struct LabelMeasurement {
  var labelled = 0
  var failed = 0
  var generatedTokens = 0
  /// Those of the generated ones that were put in without sampling.
  var jumpedTokens = 0
  /// Rationales that the limit of tokens cut.
  var truncated = 0
  var times = PhaseTimes()
  var spans: [StepClock.Span] = []
  var startNanoseconds: UInt64 = 0
  let statistics: Engine.Statistics
  let profiler: Profiler?

  var seconds: Double { Double(times.wallNanoseconds) / 1e9 }

  /// Labels `pairs` in their order. Engine and cache are made before the clock starts, as the model's load is.
  ///
  /// - Parameter observer: sees every pair's completion and result.
  /// - Throws: what the device or the engine throws; pairs that fail are counted.
  init(
    _ run: LabelRun, _ pairs: [PairWork], profiler: Profiler? = nil, keepsSpans: Bool = false,
    completion: ((PairWork, Completion) -> Void)? = nil, result: ((PairResult) -> Void)? = nil
  ) throws {
    let clock = StepClock(
      try run.session.makeRunner(cacheTokens: run.cacheTokens), keepsSpans: keepsSpans,
      attention: { profiler?.totals[Attention.name]?.nanoseconds ?? 0 })
    let engine = run.makeEngine(clock)
    let labeller = try run.makeLabeller(engine)
    labeller.observer = completion
    let backend = run.session.backend
    backend.profiler = profiler
    defer { backend.profiler = nil }
    let start = DispatchTime.now().uptimeNanoseconds
    var queue = pairs[...]
    var inFlight = 0
    while !queue.isEmpty || inFlight > 0 {
      while inFlight < labeller.capacity, let work = queue.popFirst() {
        try clock.prepare { try labeller.submit(work) }
        inFlight += 1
      }
      let tokens = { (engine.statistics.prefillTokens, engine.statistics.decodeTokens) }
      for done in try clock.measure(tokens, { try labeller.step() }) {
        inFlight -= 1
        result?(done)
        switch done.outcome {
        case .success(let record):
          labelled += 1
          generatedTokens += record.generatedTokens
          jumpedTokens += record.jumpedTokens
          truncated += record.isTruncated ? 1 : 0
        case .failure: failed += 1
        }
      }
    }
    times = clock.times
    times.wallNanoseconds = DispatchTime.now().uptimeNanoseconds - start
    spans = clock.spans
    startNanoseconds = start
    statistics = engine.statistics
    self.profiler = profiler
  }
}

/// The most memory that this process has held, in bytes; what a GPU holds is not in it.
func peakMemoryBytes() -> Int {
  var usage = rusage()
  #if os(Linux)
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss * 1024
  #else
    getrusage(RUSAGE_SELF, &usage)
    return usage.ru_maxrss
  #endif
}
