import ArgumentParser
import Basics
import Foundation
import Generation
import Labelling
import Relevance
import Tensors

extension LedgerExport.Format: ExpressibleByArgument {}
extension PromptEncoder.Form: ExpressibleByArgument {}

struct Label: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Labels query–item pairs with a rationale, a label and the label's probabilities.",
    discussion: """
      Input is JSON Lines, CSV or TSV with query and title (and pair_id, query_id, item_id, description,
      attributes where there are any). One record a pair comes out, in input order; rows that cannot be labelled
      go to a file beside it, named after it with .errors.jsonl.

      What is done is kept in a ledger beside the output: a command that was interrupted goes on where it was when
      it is given again. 'retort jobs' shows how far it is, --export what is there.

      Example: retort label --model smollm2-135m --input pairs.jsonl --labels labels.json --output labels.jsonl

      Probabilities that fit human labels: fit a calibration once on pairs that have a "label", then apply it.

      Example: retort label --model smollm2-135m --calibrate gold.jsonl --calibration shop --output gold-out.jsonl
      Example: retort label --model smollm2-135m --input pairs.jsonl --calibration shop --output labels.jsonl

      Stored in $XDG_CONFIG_HOME/retort/calibrations (by default ~/.config); bound to model, prompt and label set.
      """)

  @Option(help: "A .gguf file, a Hugging Face folder, or a name that Tools/fetch-model has fetched.")
  var model: String?
  @Option(
    help: ArgumentHelp(
      """
      How weights are kept: f32 (accurate), bf16 (two bytes a weight), int8 (one byte), lean (as in \
      the file), auto.
      """, valueName: "auto|f32|bf16|int8|lean"))
  var compute: ComputeMode = .auto
  @Option(help: "Chat layout: chatml, llama3 or plain; found in the model by default.")
  var template: String?
  @OptionGroup var options: RunOptions

  @Option(help: "Pairs: .jsonl, .csv or .tsv.")
  var input: String?
  @Option(help: "Where the records go, as JSON Lines.")
  var output: String
  @OptionGroup var promptOptions: PromptOptions
  @Option(
    help: ArgumentHelp(
      "fixed holds rationales to the outline by a grammar, so that each has all verdicts; free only asks for it.",
      valueName: "fixed|free"))
  var outline: PromptEncoder.Form = .fixed
  @OptionGroup var calibration: CalibrationOptions
  @Option(help: "Tokens of rationale at most, fixed text included.")
  var maxTokens = 192
  @OptionGroup var sampleOptions: SampleOptions
  @Flag(help: "Keep every rationale in the record, with its verdicts, label and probabilities.")
  var allSamples = false
  @Option(help: "Label only the input's first rows, so many.")
  var limit: Int?
  @Option(help: "Rationales in flight together on each device: pairs, times --samples.")
  var batch = 32
  @Option(help: "Tokens that a prompt and its answer may take.")
  var context = 2048
  @Option(help: "Rows of the table printed at the end.")
  var show = 20
  @Option(
    help: ArgumentHelp(
      "Label one of N parts of the input, divided by query; 'retort merge' joins them.", valueName: "i/n"))
  var shard: String?
  @Flag(help: "Forget what is done and start afresh.")
  var restart = false
  @Flag(help: "Label the rows again that could not be labelled before.")
  var retryFailed = false
  @Option(
    help: ArgumentHelp(
      "Print the records that are done, also while the job runs; labels nothing.", valueName: "jsonl|csv"))
  var export: LedgerExport.Format?
  @Flag(help: "Show no progress.")
  var quiet = false
  @OptionGroup var limits: TimeLimitOptions

  func validate() throws {
    if export == nil, model == nil { throw ValidationError("Missing expected argument '--model <model>'") }
    if calibration.calibrate != nil, input != nil || shard != nil {
      throw ValidationError("--calibrate takes the place of --input and goes without --shard.")
    }
    if calibration.calibrate != nil, sampleOptions.parameters.temperature > 0 {
      throw ValidationError(
        "--calibrate reads one greedy rationale a pair: leave out --samples and --temperature.")
    }
    if export == nil, input == nil, calibration.calibrate == nil {
      throw ValidationError("Missing expected argument '--input <input>'")
    }
    if batch < 1 || batch > 4096 { throw ValidationError("--batch must be from 1 to 4096.") }
    if context < 64 { throw ValidationError("--context must be at least 64.") }
    if maxTokens < 1 { throw ValidationError("--max-tokens must be at least 1.") }
    if let limit, limit < 0 { throw ValidationError("--limit must not be negative.") }
    if restart, retryFailed { throw ValidationError("Give one of --restart and --retry-failed.") }
    if allSamples, sampleOptions.samples == 1 {
      throw ValidationError("--all-samples needs --samples above 1.")
    }
    if show < 0 { throw ValidationError("--show must not be negative.") }
  }

  func run() throws {
    let ledgerPath = Ledger.path(forOutput: output)
    if let export {
      return try LedgerExport.write(LedgerReader(path: ledgerPath), as: export) { Output.write($0) }
    }
    guard let model, let input = input ?? calibration.calibrate else { return }
    let stop = StopSignal(timeLimit: limits.timeLimit)
    let prompt = try promptOptions.prompt()
    let stored = try calibration.prepare(labels: prompt.labels, limit: limit)
    let part = try shard.map { try JobShard($0) }
    let reader = try PairReader(path: input)
    try Ledger.checkIsFree(path: ledgerPath)
    let fingerprint = try InputFingerprint(path: input, format: reader.format)
    let modelOptions = modelOptions(model)
    let devices = try LabelDevices(modelOptions, options)
    let session = devices.first
    let context = min(context, session.source.configuration.contextLength)
    var settings = settings(session, context: context, labels: prompt.labels)
    let modelFiles = try ModelFingerprint.of(path: session.source.path)
    let basis = StoredCalibration.Basis(
      model: session.name, modelFingerprint: modelFiles, promptHash: prompt.promptHash,
      labels: prompt.labels.names, settings: settings)
    let applied = try calibration.applied(stored, basis)
    settings["calibration"] = applied?.description
    settings["kernel-parameters"] = try devices.kernelParameters()
    let identity = JobIdentity(
      input: fingerprint, promptHash: prompt.promptHash, model: session.name,
      modelFingerprint: modelFiles, shard: part, settings: settings)
    let ledger = try Ledger(
      path: ledgerPath, identity: identity, details: ["path of input": input], restart: restart,
      retryFailed: retryFailed)
    let encoder = try PromptEncoder(
      prompt: prompt, tokenizer: session.tokenizer, template: session.template, form: outline,
      vocabularySize: session.source.configuration.vocabularySize)
    let (pool, labellers) = try devices.makePool {
      try makeLabeller($0, encoder, context: context, applied)
    }
    let job = try LabelJob(
      labeller: pool, reader: reader, ledger: ledger, settings: .init(limit: limit, shard: part))
    let shown = LabelProgress(isQuiet: quiet || options.json)
    let isWhole = try job.run {
      shown.update($0)
    } shouldStop: {
      stop.isSet
    }
    pool.close()
    let progress = job.progress
    shown.finish(progress)
    guard isWhole else {
      try ledger.close()
      Output.note(
        "\(stop.reason): \(progress.finished) of \(progress.total) rows done; the same command goes on")
      throw stop.exitCode
    }
    let records = try LedgerReader(path: ledgerPath)
    try LabelOutput.write(records, output: output, before: limit)
    let statistics = Engine.Statistics.sum(labellers.map(\.engine.statistics))
    let fitted = try calibration.fit(records, labels: prompt.labels, basis: basis, limit: limit)
    try report(progress, statistics, pool.counts, records, input: input, session, fitted)
    try ledger.close()
  }

  private func makeLabeller(
    _ session: ModelSession, _ encoder: PromptEncoder, context: Int, _ calibration: LabelCalibration?
  ) throws -> EngineLabeller {
    // Typical prompts take less than half of the context; where blocks run out, sequences wait.
    let engine = try session.makeEngine(
      sequences: batch, context: context, cacheTokens: max(context, batch * min(context, 1024)))
    var labelling = EngineLabeller.Settings(
      sampling: sampleOptions.parameters, samples: sampleOptions.samples, keepsAllSamples: allSamples,
      maxTokens: maxTokens, batch: batch, model: session.name)
    labelling.calibration = calibration
    return EngineLabeller(engine: engine, encoder: encoder, settings: labelling)
  }

  private func modelOptions(_ model: String) -> ModelOptions {
    var modelOptions = ModelOptions()
    modelOptions.model = model
    modelOptions.compute = compute
    modelOptions.template = template
    return modelOptions
  }

  /// What shapes a record, beyond prompt and model: a job is not resumed with any of it changed. The number of
  /// pairs in flight, of threads and of rows is not among it, since no result depends on them.
  private func settings(_ session: ModelSession, context: Int, labels: LabelSet) -> [String: String] {
    var settings = [
      "backend": session.backend.device.backend, "compute": session.compute.rawValue,
      "context": String(context), "kv-cache": session.cacheType.rawValue,
      "labels": labels.names.joined(separator: ", "),
      "max-tokens": String(maxTokens), "outline": outline.rawValue,
      "reasoning": promptOptions.reasoning.rawValue,
      "template": template ?? "of the model",
    ]
    settings.merge(sampleOptions.facts) { $1 }
    if allSamples { settings["all-samples"] = "true" }
    return settings
  }

  private func report(
    _ progress: JobProgress, _ statistics: Engine.Statistics, _ counts: [DevicePool.Count],
    _ ledger: LedgerReader, input: String, _ session: ModelSession, _ fitted: CalibrationReport?
  ) throws {
    let errors = LabelOutput.errorsPath(output)
    if options.json {
      var fields: [String: Any] = [
        "labelled": progress.done, "errors": progress.failed, "finished_now": progress.finishedNow,
        "seconds": progress.seconds, "pairs_per_second": progress.pairsPerSecond,
        "tokens_per_second": progress.tokensPerSecond, "labels": progress.labels,
        "output": output, "errors_output": errors, "ledger": ledger.path, "model": session.name,
        "compute": session.compute.rawValue, "backend": session.backend.device.backend,
        "generated_tokens": progress.tokensNow, "jumped_tokens": progress.jumpedNow,
        "truncated": progress.truncatedNow,
        "computed_prompt_tokens": statistics.computedPromptTokens,
        "cached_prompt_tokens": statistics.cachedPromptTokens,
        "prefill_tokens": statistics.prefillTokens, "decode_tokens": statistics.decodeTokens,
        "preemptions": statistics.preemptions, "devices": LabelDevices.objects(counts),
      ]
      fields["calibration"] = fitted?.object
      return Output.write(try Output.json(fields))
    }
    let rows = try LabelTable.rows(ledger, input: input, count: min(show, progress.done))
    Output.write(LabelTable.text(rows))
    if progress.done > rows.count { Output.write("… and \(progress.done - rows.count) more\n") }
    Output.write(
      String(
        format: "\n%d pairs labelled in %.1f s (%.2f pairs/s) with %@ (%@, %@)\n", progress.finishedNow,
        progress.seconds, progress.pairsPerSecond, session.name, session.backend.device.backend,
        session.compute.rawValue))
    Output.write(
      "\(progress.tokensNow) tokens generated, \(progress.jumpedNow) of them fixed text put in without sampling; "
        + "\(statistics.computedPromptTokens) prompt tokens computed, \(statistics.cachedPromptTokens) cached\n"
    )
    if progress.truncatedNow > 0 {
      Output.write("\(progress.truncatedNow) rationales were cut at --max-tokens \(maxTokens)\n")
    }
    Output.write(LabelDevices.text(counts))
    let before = progress.finished - progress.finishedNow
    if before > 0 { Output.write("\(before) pairs were done before\n") }
    Output.write("records: \(output)\n")
    if progress.failed > 0 {
      Output.write("\(progress.failed) rows could not be labelled: \(errors)\n")
    }
    if let fitted { Output.write(fitted.text) }
  }
}
