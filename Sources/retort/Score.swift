import ArgumentParser
import Basics
import Distillation
import Foundation
import Relevance
import Scoring
import Tensors

struct Score: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Scores query-item pairs with a student.",
    discussion: """
      The student is a folder that 'retort distill' has written, of either kind, or any Hugging Face folder with a \
      BertForSequenceClassification whose labels are those of the label set. One record a pair is written in the \
      input's order: pair_id, label, probabilities, score (the expected gain) and, of a representation student, \
      cosine; 'retort eval' reads them. A row that cannot be read ends the command with its place.

      Example: retort score --student student --input pairs.jsonl --output scores.jsonl
      """)

  @Option(help: "A student's folder, or a name below the cache's models.")
  var student: String
  @Option(help: "Pairs as JSON Lines, CSV or TSV.")
  var input: String
  @Option(help: "The JSON Lines file to write.")
  var output: String
  @Option(
    help: "The label set: names and gains; the student's own by default, else exact, partial, irrelevant.")
  var labels: String?
  @Option(
    help: "How weights are kept: f32 (accurate), bf16, int8, lean (as in the file), auto (bf16).")
  var compute: ComputeMode = .auto
  @Option(
    help: "Tokens that texts are cut to, special ones included; by default what the student was trained with."
  )
  var maxLength: Int?
  @Option(help: "Tokens in a batch.")
  var batchTokens = PairScorer.defaultBatchTokens
  @OptionGroup var options: RunOptions

  func run() throws {
    let folder = try ModelPath.resolve(student)
    let set = try labels.map(LabelSet.init(path:)) ?? ScoringPass.labels(folder: folder)
    let scorer = try StudentScorers.open(
      folder: folder, backend: options.makeBackend(), compute: compute, maximumLength: maxLength,
      batchTokens: batchTokens)
    let pass = ScoringPass(scorer: scorer, labels: set, showsProgress: !options.json)
    try report(pass.run(input: input, output: output))
  }

  private func report(_ result: ScoringPass.Result) throws {
    let scoring = max(result.scoringSeconds, 1e-9)
    if options.json {
      return Output.write(
        try Output.json([
          "rows": result.rows, "tokens": result.tokens, "seconds": result.seconds,
          "scoring_seconds": result.scoringSeconds, "pairs_per_second": Double(result.rows) / scoring,
          "output": output,
        ]))
    }
    Output.write(
      String(
        format: "%d pairs in %.1f s, scored at %.0f pairs/s, %.0f tokens/s\n", result.rows, result.seconds,
        Double(result.rows) / scoring, Double(result.tokens) / scoring))
  }
}
