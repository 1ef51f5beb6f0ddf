import ArgumentParser
import Basics
import Foundation
import Generation
import Labelling
import Relevance

extension RelevancePrompt.Reasoning: ExpressibleByArgument {}

struct Label: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Labels query–item pairs with a rationale, a label and the label's probabilities.",
    discussion: """
      Input is JSON Lines, CSV or TSV with query and title (and pair_id, query_id, item_id, description,
      attributes where there are any). One record a pair comes out, in input order; rows that cannot be labelled
      go to a file beside it, named after it with .errors.jsonl.

      Example: retort label --model smollm2-135m --input pairs.jsonl --labels labels.json --output labels.jsonl
      """)

  @OptionGroup var modelOptions: ModelOptions
  @OptionGroup var options: RunOptions

  @Option(help: "Pairs: .jsonl, .csv or .tsv.")
  var input: String
  @Option(help: "Where the records go, as JSON Lines.")
  var output: String
  @Option(help: "The label set: names, gains, definitions; exact, partial, irrelevant by default.")
  var labels: String?
  @Option(help: ArgumentHelp("full reasons first, none names the label at once.", valueName: "full|none"))
  var reasoning: RelevancePrompt.Reasoning = .full
  @Option(help: "Tokens of rationale at most.")
  var maxTokens = 128
  @Option(help: "Pairs to label at most.")
  var limit: Int?
  @Option(help: "Pairs in flight together.")
  var batch = 32
  @Option(help: "Tokens that a prompt and its answer may take.")
  var context = 2048
  @Option(help: "Rows of the table printed at the end.")
  var show = 20

  func validate() throws {
    if batch < 1 || batch > 4096 { throw ValidationError("--batch must be from 1 to 4096.") }
    if context < 64 { throw ValidationError("--context must be at least 64.") }
    if maxTokens < 1 { throw ValidationError("--max-tokens must be at least 1.") }
    if let limit, limit < 0 { throw ValidationError("--limit must not be negative.") }
  }

  func run() throws {
    let labelSet = try labels.map { try LabelSet(path: $0) } ?? .standard
    let reader = try PairReader(path: input)
    let records = try AtomicFile(path: output)
    let errors = try AtomicFile(path: Label.errorsPath(output))
    let session = try ModelSession(modelOptions, options)
    let context = min(context, session.source.configuration.contextLength)
    // Typical prompts take less than half of the context; where blocks run out, sequences wait.
    let engine = try session.makeEngine(
      sequences: batch, context: context, cacheTokens: max(context, batch * min(context, 1024)))
    let prompt = RelevancePrompt(labels: labelSet, reasoning: reasoning)
    let encoder = try PromptEncoder(
      prompt: prompt, tokenizer: session.tokenizer, template: session.template)
    let job = LabelJob(
      engine: engine, encoder: encoder, reader: reader,
      settings: .init(maxTokens: maxTokens, batch: batch, limit: limit, model: session.name))
    let start = DispatchTime.now().uptimeNanoseconds
    let rows = try drive(job, reader, records, errors)
    try records.commit()
    try errors.commit()
    let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
    try report(job, engine.statistics, rows, seconds, session)
  }

  static func errorsPath(_ output: String) -> String {
    let stem = output.hasSuffix(".jsonl") ? String(output.dropLast(6)) : output
    return stem + ".errors.jsonl"
  }

  private func drive(
    _ job: LabelJob, _ reader: PairReader, _ records: AtomicFile, _ errors: AtomicFile
  ) throws -> [LabelTable.Row] {
    var rows: [LabelTable.Row] = []
    let total = limit ?? reader.byteCount
    let bar = ProgressBar(
      "Labelling", total: total.map { limit == nil ? $0 / 1024 : $0 }, isEnabled: !options.json)
    let start = DispatchTime.now().uptimeNanoseconds
    while !job.isDone {
      for outcome in try job.step() {
        switch outcome {
        case .error(let error): try errors.write(error.json + "\n")
        case .record(let pair, let record):
          try records.write(record.json + "\n")
          if rows.count < show { rows.append(LabelTable.Row(pair, record)) }
        }
      }
      let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
      bar.update(
        limit == nil ? reader.bytesRead / 1024 : job.labelled + job.failed,
        note: String(format: "%d pairs, %.2f/s", job.labelled, Double(job.labelled) / max(seconds, 1e-9)))
    }
    bar.finish()
    return rows
  }

  private func report(
    _ job: LabelJob, _ statistics: Engine.Statistics, _ rows: [LabelTable.Row], _ seconds: Double,
    _ session: ModelSession
  ) throws {
    let rate = Double(job.labelled) / max(seconds, 1e-9)
    if options.json {
      return Output.write(
        try Output.json([
          "labelled": job.labelled, "errors": job.failed, "seconds": seconds, "pairs_per_second": rate,
          "output": output, "errors_output": Label.errorsPath(output), "model": session.name,
          "compute": session.compute.rawValue, "backend": session.backend.device.backend,
          "prefill_tokens": statistics.prefillTokens, "decode_tokens": statistics.decodeTokens,
          "preemptions": statistics.preemptions,
        ]))
    }
    Output.write(LabelTable.text(rows))
    if job.labelled > rows.count { Output.write("… and \(job.labelled - rows.count) more\n") }
    Output.write(
      String(
        format: "\n%d pairs labelled in %.1f s (%.2f pairs/s) with %@ (%@, %@)\n", job.labelled, seconds,
        rate,
        session.name, session.backend.device.backend, session.compute.rawValue))
    Output.write("records: \(output)\n")
    if job.failed > 0 {
      Output.write("\(job.failed) rows could not be labelled: \(Label.errorsPath(output))\n")
    }
  }
}
