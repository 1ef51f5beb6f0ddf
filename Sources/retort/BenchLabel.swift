import ArgumentParser
import Basics
import Foundation
import Generation
import Labelling
import Relevance
import Tensors

struct BenchLabel: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "label", abstract: "Pairs per second of labelling, and where the time goes.",
    discussion: """
      Labels pairs as 'retort label' does, by query, and keeps nothing. Loading is not counted.

      --check-invariance labels them with 1, 7 and 32 in flight, with the prefix cache and without, and compares \
      tokens, log-probabilities and probabilities bit for bit; it exits with 1 where any differ.

      Example: retort bench label --model smollm2-135m --input pairs.jsonl --limit 48 --trace trace.json
      """)

  @OptionGroup var modelOptions: ModelOptions
  @OptionGroup var options: RunOptions

  @Option(help: "Pairs: .jsonl, .csv or .tsv.")
  var input: String
  @OptionGroup var promptOptions: PromptOptions
  @OptionGroup var sampleOptions: SampleOptions
  @Option(help: "Label only the input's first rows, so many.")
  var limit: Int?
  @Option(help: "Rationales in flight together: pairs, times --samples.")
  var batch = 32
  @Option(
    help: ArgumentHelp(
      "fixed holds rationales to the outline by a grammar; free only asks for it.", valueName: "fixed|free"))
  var outline: PromptEncoder.Form = .fixed
  @Option(help: "Tokens of rationale at most, fixed text included.")
  var maxTokens = 192
  @Option(help: "Tokens that a prompt and its answer may take.")
  var context = 2048
  @Flag(inversion: .prefixedNo, help: "Share what prompts have in common.")
  var prefixCache = true
  @Flag(help: "Check that results depend neither on the batch nor on the prefix cache.")
  var checkInvariance = false

  func validate() throws {
    if batch < 1 || batch > 4096 { throw ValidationError("--batch must be from 1 to 4096.") }
    if context < 64 { throw ValidationError("--context must be at least 64.") }
    if maxTokens < 1 { throw ValidationError("--max-tokens must be at least 1.") }
    if let limit, limit < 1 { throw ValidationError("--limit must be at least 1.") }
    if options.profiling.trace != nil, checkInvariance {
      throw ValidationError("Give one of --trace and --check-invariance.")
    }
  }

  func run() throws {
    let prompt = try promptOptions.prompt()
    let pairs = try PairRows.byQuery(input, in: 0..<(limit ?? .max))
    let session = try ModelSession(modelOptions, options.withoutProfile)
    let run = LabelRun(
      session: session, prompt: prompt, form: outline, maxTokens: maxTokens,
      context: min(context, session.source.configuration.contextLength), batch: batch,
      prefixCache: prefixCache, sampling: sampleOptions.parameters, samples: sampleOptions.samples)
    if checkInvariance { return try LabelInvariance.check(run, pairs, json: options.json) }
    let profiling = options.profiling
    let profiler = profiling.isOn(otherwise: true) ? profiling.makeProfiler() : nil
    let measured = try LabelMeasurement(run, pairs, profiler: profiler, keepsSpans: profiling.trace != nil)
    if let trace = profiling.trace, let profiler {
      let phases = measured.spans.map {
        ChromeTrace.Phase(
          name: $0.name, startNanoseconds: $0.startNanoseconds, nanoseconds: $0.nanoseconds,
          counts: ["rows": $0.rows])
      }
      let source = ProfileTrace.Source(name: session.backend.device.name, profiler: profiler, phases: phases)
      try ProfileTrace.write([source], to: trace)
    }
    let profile = profiler.map {
      ProfileReport(
        $0, device: session.backend.device.name, ceilings: Ceilings.measured(on: session.backend))
    }
    let report = LabelReport(run: run, measured: measured, profile: profile)
    Output.write(options.json ? try report.json() : report.text)
  }
}
