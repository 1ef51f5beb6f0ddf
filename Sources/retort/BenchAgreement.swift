import ArgumentParser
import Basics
import Foundation
import Generation
import Labelling
import Relevance
import Tensors

struct BenchAgreement: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "agreement",
    abstract: "How often labels change with --compute: what a faster mode costs.",
    discussion: """
      Labels pairs with the reference mode, then reads the label again in each of the other modes after the \
      reference's own rationale, so that all judge the same text. A flip is a pair whose most probable label \
      differs. With --free each mode also writes its own rationale, as 'retort label' does.

      The models are loaded one after another. Rationales are held to the outline, as by default in 'retort label'.

      Example: retort bench agreement --model smollm2-135m --compute int8,lean --input pairs.jsonl --limit 1000
      """)

  @Option(help: "A .gguf file, a Hugging Face folder, or a name that Tools/fetch-model has fetched.")
  var model: String
  @Option(help: "Chat layout: chatml, llama3 or plain; found in the model by default.")
  var template: String?
  @Option(help: ArgumentHelp("What the others are compared with.", valueName: "auto|f32|bf16|int8|lean"))
  var reference: ComputeMode = .f32
  @Option(help: "Modes to compare, separated by commas.")
  var compute = "int8"
  @OptionGroup var options: RunOptions

  @Option(help: "Pairs: .jsonl, .csv or .tsv.")
  var input: String
  @OptionGroup var promptOptions: PromptOptions
  @Option(help: "Take so many of the input's rows.")
  var limit = 1000
  @Option(help: "Pass over so many rows first.")
  var offset = 0
  @Option(help: "Pairs in flight together.")
  var batch = 32
  @Option(help: "Tokens of rationale at most, fixed text included.")
  var maxTokens = 192
  @Option(help: "Tokens that a prompt and its answer may take.")
  var context = 2048
  @Flag(help: "Also let each mode write its own rationales.")
  var free = false
  @Option(help: "Write each pair's distributions to this file, as JSON Lines.")
  var details: String?

  func validate() throws {
    if batch < 1 || batch > 4096 { throw ValidationError("--batch must be from 1 to 4096.") }
    if context < 64 { throw ValidationError("--context must be at least 64.") }
    if maxTokens < 1 { throw ValidationError("--max-tokens must be at least 1.") }
    if limit < 1 { throw ValidationError("--limit must be at least 1.") }
    if offset < 0 { throw ValidationError("--offset must not be negative.") }
    if free, promptOptions.reasoning == .direct {
      throw ValidationError("--free needs rationales; without them there is no text to write.")
    }
    _ = try modes()
  }

  private func modes() throws -> [ComputeMode] {
    let names = compute.split(separator: ",").map { String($0) }
    let modes = names.compactMap { ComputeMode(rawValue: $0) }
    guard !modes.isEmpty, modes.count == names.count else {
      throw ValidationError("Give modes as in --compute int8,lean; there are f32, bf16, int8, lean, auto.")
    }
    return modes
  }

  func run() throws {
    let prompt = try promptOptions.prompt()
    let (end, overflows) = offset.addingReportingOverflow(limit)
    let pairs = try PairRows.byQuery(input, in: offset..<(overflows ? .max : end))
    let measurement = AgreementMeasurement(
      prompt: prompt, pairs: pairs, maxTokens: maxTokens, context: context, batch: batch,
      isQuiet: options.json)
    let reference = try measurement.reference(run(reference))
    var results: [AgreementMeasurement.Comparison] = []
    for mode in try modes() {
      results.append(try measurement.compare(run(mode), with: reference, free: free))
    }
    if let details { try AgreementReport.writeDetails(pairs, reference, results, to: details) }
    let report = AgreementReport(reference: reference, comparisons: results, prompt: prompt)
    Output.write(options.json ? try report.json() : report.text)
  }

  private func run(_ mode: ComputeMode) throws -> ModelSession {
    var modelOptions = ModelOptions()
    modelOptions.model = model
    modelOptions.compute = mode
    modelOptions.template = template
    return try ModelSession(modelOptions, options)
  }
}
