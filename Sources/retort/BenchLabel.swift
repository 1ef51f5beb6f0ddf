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
  @Flag(
    inversion: .prefixedNo,
    help: "Time each operation; on OpenCL the host then waits for each, which slows the run.")
  var profile = true
  @Option(help: "Write a timeline for chrome://tracing or Perfetto to this file.")
  var trace: String?
  @Flag(help: "Check that results depend neither on the batch nor on the prefix cache.")
  var checkInvariance = false

  /// Calls that a trace keeps: some 150 MB of JSON.
  private static let traceEvents = 1_000_000

  func validate() throws {
    if batch < 1 || batch > 4096 { throw ValidationError("--batch must be from 1 to 4096.") }
    if context < 64 { throw ValidationError("--context must be at least 64.") }
    if maxTokens < 1 { throw ValidationError("--max-tokens must be at least 1.") }
    if let limit, limit < 1 { throw ValidationError("--limit must be at least 1.") }
    if trace != nil, checkInvariance { throw ValidationError("Give one of --trace and --check-invariance.") }
    if trace != nil, !profile { throw ValidationError("--trace needs --profile.") }
  }

  func run() throws {
    let prompt = try promptOptions.prompt()
    let pairs = try PairRows.byQuery(input, in: 0..<(limit ?? .max))
    let session = try ModelSession(modelOptions, options)
    let run = LabelRun(
      session: session, prompt: prompt, form: outline, maxTokens: maxTokens,
      context: min(context, session.source.configuration.contextLength), batch: batch,
      prefixCache: prefixCache, sampling: sampleOptions.parameters, samples: sampleOptions.samples)
    if checkInvariance { return try LabelInvariance.check(run, pairs, json: options.json) }
    let profiler = profile ? Profiler(eventLimit: trace == nil ? 0 : BenchLabel.traceEvents) : nil
    let measured = try LabelMeasurement(run, pairs, profiler: profiler, keepsSpans: trace != nil)
    if let trace { try LabelTrace.write(measured, to: trace) }
    let report = LabelReport(run: run, measured: measured)
    Output.write(options.json ? try report.json() : report.text)
    if let dropped = profiler?.droppedEvents, dropped > 0, trace != nil {
      Output.note("the trace lacks the last \(dropped) operations; take fewer pairs for a whole one")
    }
  }
}
