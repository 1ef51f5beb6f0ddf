import ArgumentParser
import Basics
import Foundation
import Relevance
import Scoring
import Tensors

struct BenchScore: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "score",
    abstract: "Times a student on pairs, tokens ready made and not.",
    discussion: """
      All pairs are in memory; each repetition is timed whole. --profile is of one more repetition.

      Example: retort bench score --student student --input pairs.jsonl --compute int8 --threads 2
      """)

  @Option(help: "A folder with an interaction student, or a name below the cache's models.")
  var student: String
  @Option(help: "Pairs as JSON Lines, CSV or TSV.")
  var input: String
  @Option(help: "Pairs to read.")
  var limit = 2000
  @Option(help: "How weights are kept: f32, bf16, int8, lean or auto.")
  var compute: ComputeMode = .auto
  @Option(help: "Tokens that a pair is cut to.")
  var maxLength: Int?
  @Option(help: "Tokens in a batch.")
  var batchTokens = PairScorer.defaultBatchTokens
  @Option(help: "Timed repetitions; the best counts.")
  var repeats = 3
  @OptionGroup var options: RunOptions

  func run() throws {
    let reader = try PairReader(path: input)
    var pairs: [(query: String, item: String)] = []
    while pairs.count < limit, let row = try reader.next() {
      if case .pair(let pair, _) = row { pairs.append((pair.query, pair.title)) }
    }
    guard !pairs.isEmpty else {
      throw RetortError(
        .invalidArgument, "there is no pair to score", file: input, field: "input",
        remedy: "Give pairs with query and title, and a --limit of at least 1.")
    }
    let backend = try options.withoutProfile.makeBackend()
    let scorer = try PairScorer(
      folder: ModelPath.resolve(student), backend: backend, compute: compute, maximumLength: maxLength,
      batchTokens: batchTokens)
    _ = try scorer.score(Array(pairs.prefix(256)))
    var (whole, encode, forward, tokens) = (Double.infinity, Double.infinity, Double.infinity, 0)
    for _ in 0..<max(1, repeats) {
      whole = min(whole, try seconds { tokens = try scorer.score(pairs).tokens })
      var encoded: PairScorer.EncodedPairs?
      encode = min(encode, try seconds { encoded = try scorer.encode(pairs) })
      if let encoded { forward = min(forward, try seconds { _ = try scorer.score(encoded) }) }
    }
    try report(count: pairs.count, tokens: tokens, whole: whole, encode: encode, forward: forward)
    guard options.profiling.isOn() else { return }
    let encoded = try scorer.encode(pairs)
    RunProfile.shared.attach(backend, options.profiling, json: options.json)
    _ = try scorer.score(encoded)
  }

  private func seconds(_ body: () throws -> Void) rethrows -> Double {
    let start = DispatchTime.now().uptimeNanoseconds
    try body()
    return Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
  }

  private func report(count: Int, tokens: Int, whole: Double, encode: Double, forward: Double) throws {
    let rates = [whole, encode, forward].map { Double(count) / max($0, 1e-9) }
    if options.json {
      return Output.write(
        try Output.json([
          "pairs": count, "tokens": tokens, "pairs_per_second": rates[0],
          "tokenize_pairs_per_second": rates[1], "forward_pairs_per_second": rates[2],
        ]))
    }
    Output.write(
      String(
        format: "%d pairs, %d tokens: %.0f pairs/s; tokenising alone %.0f, the model alone %.0f\n", count,
        tokens, rates[0], rates[1], rates[2]))
  }
}
