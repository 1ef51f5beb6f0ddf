import ArgumentParser
import Basics
import Foundation
import Generation
import Tensors

struct Perplexity: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures how well a model predicts a text.",
    discussion: "Example: retort perplexity --model smollm2-135m --input text.txt --tokens 512 --compute f32")

  @OptionGroup var modelOptions: ModelOptions
  @OptionGroup var options: RunOptions

  @Option(help: "A UTF-8 text file.")
  var input: String
  @Option(help: "Leading tokens of the text to score.")
  var tokens = 512
  @Option(help: "Leading characters of the file to read; all by default.")
  var characters: Int?

  func validate() throws {
    if tokens < 2 { throw ValidationError("--tokens must be at least 2.") }
  }

  func run() throws {
    let session = try ModelSession(modelOptions, options)
    let ids = try leadingTokens(session)
    let runner = try session.makeRunner(cacheTokens: ids.count)
    let table = Array(0..<Int32((ids.count + ModelRunner.blockSize - 1) / ModelRunner.blockSize))
    let bar = ProgressBar("Scoring", total: ids.count, isEnabled: !options.json)
    var sum = 0.0
    // Few rows at a time, since each one's logits are as wide as the vocabulary.
    let chunk = 64
    for start in stride(from: 0, to: ids.count, by: chunk) {
      let end = min(ids.count, start + chunk)
      let slice = SequenceSlice(
        rowStart: 0, rowCount: end - start, contextLength: end, blockTable: table)
      let batch = try BatchMetadata(
        tokenIDs: Array(ids[start..<end]), sequences: [slice], blockSize: ModelRunner.blockSize)
      let scored = start..<min(end, ids.count - 1)
      if scored.isEmpty { break }
      let logits = try runner.run(batch, outputRows: scored.map { Int32($0 - start) })
      let rows = try logits.read(
        scored.map { LogProbabilityRequest(topCount: 0, chosen: [ids[$0 + 1]]) })
      for row in rows { sum -= Double(row.chosenLogProbabilities[0]) }
      bar.update(end)
    }
    bar.finish()
    let perplexity = exp(sum / Double(ids.count - 1))
    if options.json {
      Output.write(try Output.json(["perplexity": perplexity, "tokens": ids.count]))
    } else {
      Output.write(String(format: "perplexity %.4f over %d tokens\n", perplexity, ids.count))
    }
  }

  private func leadingTokens(_ session: ModelSession) throws -> [Int32] {
    let file = try MappedFile(path: input)
    guard var text = String(validating: file.bytes, as: UTF8.self) else {
      throw RetortError(
        .malformedRow, "the text is not UTF-8", file: input, remedy: "Save the file as UTF-8.")
    }
    if let characters { text = String(String.UnicodeScalarView(text.unicodeScalars.prefix(characters))) }
    let ids = Array(session.tokenizer.encode(text).prefix(tokens))
    guard ids.count >= 2 else {
      throw RetortError(
        .malformedRow, "the text has \(ids.count) tokens", file: input, remedy: "Give a longer text.")
    }
    guard ids.count <= session.source.configuration.contextLength else {
      throw RetortError(
        .contextOverflow,
        "\(ids.count) tokens are more than the model's context of \(session.source.configuration.contextLength)",
        field: "tokens", remedy: "Give a smaller --tokens.")
    }
    return ids
  }
}
