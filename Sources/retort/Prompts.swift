import ArgumentParser
import Basics
import Labelling
import ModelFormats
import Relevance
import Tokenizers
import Transformers

struct Prompts: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Prints the prompts that 'retort label' gives a model, as JSON Lines.",
    discussion: """
      Each line has the pair's ids, the text as the chat layout renders it with the fixed start of the answer, its \
      tokens, and the outline of the answer as a grammar (GBNF). No weights are loaded.

      Example: retort prompts --model smollm2-135m --input pairs.jsonl --limit 1
      """)

  @Option(help: "A .gguf file, a Hugging Face folder, or a name that Tools/fetch-model has fetched.")
  var model: String
  @Option(help: "Chat layout: chatml, llama3 or plain; found in the model by default.")
  var template: String?
  @Option(help: "Pairs: .jsonl, .csv or .tsv.")
  var input: String
  @OptionGroup var promptOptions: PromptOptions
  @Option(help: "Print only the input's first rows, so many.")
  var limit: Int?
  @Flag(help: "Print JSON; the output is JSON in any case.")
  var json = false

  func validate() throws {
    if let limit, limit < 0 { throw ValidationError("--limit must not be negative.") }
  }

  func run() throws {
    let prompt = try promptOptions.prompt()
    let reader = try PairReader(path: input)
    let source = try ModelSource(path: ModelPath.resolve(model))
    let tokenizer = try Tokenizer(VocabularySpec(source))
    let encoder = try PromptEncoder(
      prompt: prompt, tokenizer: tokenizer, template: ModelSession.template(template, tokenizer), form: .free)
    var rows = 0
    while rows < limit ?? .max, let row = try reader.next() {
      rows += 1
      switch row {
      case .error(let error): Output.note("error: \(error.json)")
      case .pair(let pair, _):
        let tokens = encoder.tokens(pair)
        var fields: [String: Any] = [
          "pair_id": pair.pairID, "query": pair.query,
          "prompt": tokenizer.decode(tokens, skipSpecial: false), "tokens": tokens.map(Int.init),
          "answer_prefix": prompt.answerPrefix, "labels": prompt.labels.names,
          "grammar": prompt.outline.grammar(labels: prompt.labels),
        ]
        if let id = pair.queryID { fields["query_id"] = id }
        Output.write(try Output.json(fields))
      }
    }
  }
}
