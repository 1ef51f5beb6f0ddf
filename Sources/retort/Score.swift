import ArgumentParser
import Basics
import Foundation
import Relevance
import Scoring
import Tensors

struct Score: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Scores query-item pairs with an interaction student.",
    discussion: """
      The student is a Hugging Face folder with a BertForSequenceClassification whose labels are those of the label \
      set. One record a pair is written in the input's order: pair_id, label, probabilities and score, the expected \
      gain; 'retort eval' reads them. A row that cannot be read ends the command with its place.

      Example: retort score --student student --input pairs.jsonl --labels labels.json --output scores.jsonl
      """)

  @Option(help: "A folder with an interaction student, or a name below the cache's models.")
  var student: String
  @Option(help: "Pairs as JSON Lines, CSV or TSV.")
  var input: String
  @Option(help: "The JSON Lines file to write.")
  var output: String
  @Option(help: "The label set: names and gains; exact, partial, irrelevant by default.")
  var labels: String?
  @Option(
    help: "How weights are kept: f32 (accurate), bf16, int8 (CPU only), lean (as in the file), auto (bf16).")
  var compute: ComputeMode = .auto
  @Option(help: "Tokens that a pair is cut to, special ones included; the model's longest input by default.")
  var maxLength: Int?
  @Option(help: "Tokens in a batch.")
  var batchTokens = PairScorer.defaultBatchTokens
  @OptionGroup var options: RunOptions

  /// Pairs that are sorted by length together.
  private static let windowPairs = 8192

  func run() throws {
    let reader = try PairReader(path: input)
    let set = try labels.map(LabelSet.init(path:)) ?? .standard
    let scorer = try PairScorer(
      folder: ModelPath.resolve(student), backend: options.makeBackend(), compute: compute,
      maximumLength: maxLength, batchTokens: batchTokens)
    let places = try set.places(among: scorer.labels)
    let file = try AtomicFile(path: output)
    let bar = ProgressBar("Scoring", total: reader.byteCount, isEnabled: !options.json)
    let start = DispatchTime.now().uptimeNanoseconds
    var (window, rows, tokens, scoring) = ([Pair](), 0, 0, UInt64(0))
    var isAtEnd = false
    while !isAtEnd {
      switch try reader.next() {
      case .pair(let pair, _): window.append(pair)
      case .error(let error): throw error.reason
      case nil: isAtEnd = true
      }
      guard window.count == Score.windowPairs || isAtEnd else { continue }
      let begin = DispatchTime.now().uptimeNanoseconds
      let result = try scorer.score(window.map { ($0.query, $0.title) })
      scoring += DispatchTime.now().uptimeNanoseconds - begin
      try file.write(lines(window, result, set, places))
      rows += window.count
      tokens += result.tokens
      window.removeAll(keepingCapacity: true)
      bar.update(reader.bytesRead)
    }
    bar.finish()
    try file.commit()
    let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
    try report(rows: rows, tokens: tokens, seconds: seconds, scoring: Double(scoring) / 1e9)
  }

  private func lines(_ pairs: [Pair], _ result: PairScorer.Result, _ set: LabelSet, _ places: [Int]) throws
    -> String
  {
    var text = ""
    for (row, pair) in pairs.enumerated() {
      let distribution = try LabelDistribution(
        labels: set, probabilities: places.map { Double(result.probabilities[row * places.count + $0]) })
      text += ScoreRecord(pair, distribution).json + "\n"
    }
    return text
  }

  private func report(rows: Int, tokens: Int, seconds: Double, scoring: Double) throws {
    if options.json {
      return Output.write(
        try Output.json([
          "rows": rows, "tokens": tokens, "seconds": seconds, "scoring_seconds": scoring,
          "pairs_per_second": Double(rows) / max(scoring, 1e-9), "output": output,
        ]))
    }
    Output.write(
      String(
        format: "%d pairs in %.1f s, scored at %.0f pairs/s, %.0f tokens/s\n", rows, seconds,
        Double(rows) / max(scoring, 1e-9), Double(tokens) / max(scoring, 1e-9)))
  }
}
