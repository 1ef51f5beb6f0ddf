import ArgumentParser
import Basics
import Foundation
import Relevance
import Scoring
import Tensors

extension NumPyFile.Element: ExpressibleByArgument {}

struct Embed: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Turns queries or titles into vectors with an encoder.",
    discussion: """
      The model is a Hugging Face or sentence-transformers folder with a BERT encoder; its own pooling, length and \
      normalisation apply. One row is written for each query_id or item_id (each pair_id where pairs have none), in \
      order of appearance, and the ids beside the output as JSON Lines.

      Example: retort embed --model minilm-l6 --input pairs.jsonl --field title --output titles.npy
      """)

  enum Field: String, ExpressibleByArgument, CaseIterable { case title, query }

  @Option(
    name: [.customLong("model"), .customLong("student")],
    help:
      "A folder with an encoder, such as a representation student, or a name that Tools/fetch-model has fetched."
  )
  var model: String
  @Option(help: "Pairs as JSON Lines, CSV or TSV.")
  var input: String
  @Option(help: "Which text of the pairs to embed.")
  var field: Field
  @Option(help: "The .npy file to write; ids go beside it with the ending .ids.jsonl.")
  var output: String
  @Option(help: "How numbers are stored.")
  var dtype: NumPyFile.Element = .float32
  @Option(
    help: "How weights are kept: f32 (accurate), bf16, int8, lean (as in the file), auto (bf16).")
  var compute: ComputeMode = .auto
  @Option(help: "Tokens that a text is cut to, special ones included; the model's own by default.")
  var maxLength: Int?
  @Option(help: "Tokens in a batch.")
  var batchTokens = PairScorer.defaultBatchTokens
  @OptionGroup var options: RunOptions

  /// Texts that are sorted by length together.
  private static let windowTexts = 8192

  func run() throws {
    let reader = try PairReader(path: input)
    let embedder = try Embedder(
      folder: ModelPath.resolve(model), backend: options.makeBackend(), compute: compute,
      maximumLength: maxLength,
      batchTokens: batchTokens)
    let vectors = try NumPyFile(path: output, width: embedder.width, element: dtype, madeFrom: [input])
    let idPath = output + ".ids.jsonl"
    let ids = try AtomicFile(path: idPath, madeFrom: [input])
    let bar = ProgressBar("Embedding", total: reader.byteCount, isEnabled: !options.json)
    let start = DispatchTime.now().uptimeNanoseconds
    var known: [String: Int] = [:]
    var (texts, tokens, changed, isAtEnd) = ([String](), 0, 0, false)
    while !isAtEnd {
      if let row = try reader.next() {
        let (id, text) = try entry(row)
        if let hash = known[id] {
          changed += hash == text.hashValue ? 0 : 1
          continue
        }
        known[id] = text.hashValue
        texts.append(text)
        try ids.write(Output.json([id]).dropFirst().dropLast(2) + "\n")
      } else {
        isAtEnd = true
      }
      guard texts.count == Embed.windowTexts || isAtEnd else { continue }
      let result = try embedder.embed(texts)
      try vectors.append(result.vectors)
      tokens += result.tokens
      texts.removeAll(keepingCapacity: true)
      bar.update(reader.bytesRead)
    }
    let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
    bar.finish()
    try ids.commit()
    try vectors.commit()
    if changed > 0 {
      Output.note("note: \(changed) rows repeat an id with another \(field.rawValue); the first one counts")
    }
    try report(rows: vectors.rows, width: embedder.width, tokens: tokens, seconds: seconds, changed: changed)
  }

  private func entry(_ row: PairReader.Row) throws -> (id: String, text: String) {
    switch row {
    case .error(let error): throw error.reason
    case .pair(let pair, _):
      switch field {
      case .title: (pair.itemID ?? pair.pairID, pair.title)
      case .query: (pair.queryID ?? pair.pairID, pair.query)
      }
    }
  }

  private func report(rows: Int, width: Int, tokens: Int, seconds: Double, changed: Int) throws {
    let rate = Double(rows) / max(seconds, 1e-9)
    if options.json {
      return Output.write(
        try Output.json([
          "rows": rows, "width": width, "tokens": tokens, "seconds": seconds, "texts_per_second": rate,
          "repeated_with_another_text": changed, "output": output,
        ]))
    }
    Output.write(
      String(
        format: "%d vectors of %d in %.1f s, %.0f texts/s, %.0f tokens/s\n", rows, width, seconds, rate,
        Double(tokens) / max(seconds, 1e-9)))
  }
}
