import ArgumentParser
import Basics
import Foundation
import Relevance
import Scoring
import Tensors

extension GoldFile.Value: ExpressibleByArgument {}

struct Eval: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures predictions or a student against the input's gold labels, with 95 % intervals.",
    discussion: """
      Predictions are records as 'retort label' writes them; they are joined to the input's rows by pair_id. A row
      without a label or a prediction, a row that cannot be read and a prediction without a row are errors (exit
      code 1); with --partial they are counted, named on standard error and left out. Intervals and p-values come
      from resampling queries. With --student the input is scored first, as 'retort score' does it.

      Example: retort eval --predictions labels.jsonl --input pairs.jsonl --labels labels.json
      Example: retort eval --student student --input dev.jsonl
      Example: retort eval --compare a.jsonl b.jsonl --input pairs.jsonl --train train.jsonl --json
      """)

  @Option(help: "Records as 'retort label' writes them.")
  var predictions: String?
  @Option(help: "A student's folder to score the input with in place of --predictions.")
  var student: String?
  @Option(help: "With --student: a file to keep the scores in.")
  var output: String?
  @Option(
    help: "With --student: how weights are kept: f32 (accurate), bf16, int8, lean, auto (bf16).")
  var compute: ComputeMode = .auto
  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Two files of records to compare in place of --predictions: differences are the second's less the first's.",
      valueName: "a> <b"))
  var compare: [String] = []
  @Option(help: "Pairs with gold labels in the field 'label': .jsonl, .csv or .tsv.")
  var input: String
  @Option(
    help:
      "The label set: names, gains, definitions; the student's own or exact, partial, irrelevant by default.")
  var labels: String?
  @Option(
    help: ArgumentHelp(
      "Labels that count as relevant in the area under the curve; by default those above the lowest gain.",
      valueName: "name,name"))
  var relevant: String?
  @Option(
    help: ArgumentHelp(
      "What Spearman's correlation holds scores against: the label's gain or the input's field 'grade'.",
      valueName: "gain|grade"))
  var spearman: GoldFile.Value = .gain
  @Option(help: "Bootstrap resamples of the queries; 0 leaves the intervals out.")
  var resamples = 1000
  @Option(help: "The resamples' seed.")
  var seed: UInt64 = 0
  @Option(help: "Queries with at most so many pairs are a slice of their own.")
  var fewPairs = 3
  @Option(
    parsing: .upToNextOption,
    help: "Training pairs: queries with words that are rare in them are a slice of their own.")
  var train: [String] = []
  @Option(help: "A word is rare where fewer training queries have it.")
  var rareWords = 1
  @Flag(help: "Evaluate the pairs that have a label and a prediction, and count the others.")
  var partial = false
  @OptionGroup var options: RunOptions

  func validate() throws {
    guard [predictions != nil, student != nil, !compare.isEmpty].count(where: \.self) == 1 else {
      throw ValidationError("Give one of --predictions <file>, --student <folder> and --compare <a> <b>.")
    }
    guard output == nil || student != nil else {
      throw ValidationError("--output keeps the scores of --student.")
    }
    guard compare.isEmpty || compare.count == 2 else {
      throw ValidationError("--compare takes two files, found \(compare.count).")
    }
    if !(0...QueryBootstrap.maximumResamples).contains(resamples) {
      throw ValidationError("--resamples must be from 0 to \(QueryBootstrap.maximumResamples).")
    }
    if fewPairs < 1 { throw ValidationError("--few-pairs must be at least 1.") }
    if rareWords < 1 { throw ValidationError("--rare-words must be at least 1.") }
  }

  func run() throws {
    var job = EvaluationJob(
      input: input, labels: try labelSet(),
      bootstrap: try QueryBootstrap(resamples: resamples, seed: seed))
    job.relevant = relevant?.split(separator: ",").map(String.init)
    job.spearman = spearman
    job.fewPairs = fewPairs
    job.train = train
    job.rareWords = rareWords
    job.gaps = partial ? .counted : .refused
    if compare.isEmpty {
      let (report, warnings) = try evaluate(job)
      for warning in warnings { Output.note("warning: \(warning)") }
      return Output.write(try options.json ? Output.line(report) : EvalTable.text(report))
    }
    let (report, warnings) = try job.compare(compare[0], compare[1])
    for warning in warnings { Output.note("warning: \(warning)") }
    Output.write(try options.json ? Output.line(report) : EvalTable.text(report))
  }

  private func labelSet() throws -> LabelSet {
    if let labels { return try LabelSet(path: labels) }
    return try student.map { try ScoringPass.labels(folder: ModelPath.resolve($0)) } ?? .standard
  }

  private func evaluate(_ job: EvaluationJob) throws -> (
    report: EvaluationReport<Evaluation>, warnings: [String]
  ) {
    guard let student else { return try job.evaluate(predictions ?? "") }
    let scorer = try StudentScorers.open(
      folder: ModelPath.resolve(student), backend: options.makeBackend(), compute: compute)
    let pass = ScoringPass(
      scorer: scorer, labels: job.labels, skipsBadRows: partial, showsProgress: !options.json)
    let path = output ?? NSTemporaryDirectory() + "retort-\(UUID().uuidString).jsonl"
    defer { if output == nil { try? FileManager.default.removeItem(atPath: path) } }
    _ = try pass.run(input: input, output: path)
    return try job.evaluate(path, named: output ?? student)
  }
}
