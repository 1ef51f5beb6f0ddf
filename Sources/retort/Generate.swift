import ArgumentParser
import Basics
import Foundation
import Generation
import Tokenizers

struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Continues a prompt.",
    discussion: """
      Example: retort generate --model smollm2-135m --chat --prompt "Name three fruits." --max-tokens 64
      """)

  @OptionGroup var modelOptions: ModelOptions
  @OptionGroup var options: RunOptions
  @OptionGroup var grammarOptions: GrammarOptions

  @Option(help: "The prompt; special tokens in it are parsed.")
  var prompt: String?
  @Option(help: "A file holding the prompt.")
  var promptFile: String?
  @Flag(help: "Wrap the prompt as a user's turn in the model's chat layout.")
  var chat = false
  @Option(help: "The system turn, with --chat.")
  var system: String?
  @Option(help: "Tokens to generate at most.")
  var maxTokens = 256
  @Option(help: "0 takes the most likely token; higher is more varied.")
  var temperature: Float = 0
  @Option(help: "Keep the k most likely tokens; 0 keeps all.")
  var topK = 0
  @Option(help: "Keep the most likely tokens that reach this probability together.")
  var topP: Float = 1
  @Option(help: "Drop tokens less likely than this share of the most likely one.")
  var minP: Float = 0
  @Option(help: "Above 1 makes tokens already seen less likely.")
  var repetitionPenalty: Float = 1
  @Option(help: "The same seed gives the same text.")
  var seed: UInt64 = 0
  @Option(help: "Answers to the prompt, which differ in their seed; with --json a line each, in order.")
  var samples = 1
  @Option(help: "Stop before this text; may be given several times.")
  var stop: [String] = []
  @Option(help: "1 reports each generated token's log-probability.")
  var logprobs = 0
  @Option(help: "Tokens of context; what the prompt and --max-tokens need by default.")
  var context: Int?

  func validate() throws {
    if (prompt == nil) == (promptFile == nil) {
      throw ValidationError("Give either --prompt or --prompt-file.")
    }
    if maxTokens < 1 { throw ValidationError("--max-tokens must be at least 1.") }
    if samples < 1 || samples > 1_000_000 { throw ValidationError("--samples must be from 1 to 1000000.") }
    if system != nil, !chat { throw ValidationError("--system needs --chat.") }
  }

  func run() throws {
    let text = try promptText()
    let grammar = try grammarOptions.read()
    let session = try ModelSession(modelOptions, options)
    let ids = encode(text, session)
    let limit = min(session.source.configuration.contextLength, context ?? ids.count + maxTokens)
    let together = min(samples, Generate.together)
    let engine = try session.makeEngine(
      sequences: together, context: limit, cacheTokens: together * (limit + ModelRunner.blockSize))
    let constraint = try grammar.map {
      try TokenConstraint(
        $0,
        vocabulary: TokenVocabulary(session.tokenizer, size: session.source.configuration.vocabularySize))
    }
    let request = GenerationRequest(
      prompt: ids,
      sampling: SamplingParameters(
        temperature: temperature, topK: topK, topP: topP, minP: minP, repetitionPenalty: repetitionPenalty,
        seed: seed),
      maxTokens: maxTokens, stopStrings: stop, endTokens: session.tokenizer.endOfGenerationIDs,
      wantsLogProbabilities: logprobs > 0, constraint: constraint)
    if samples > 1 { return try writeSamples(engine, request) }
    _ = try engine.add(request)
    let (completion, timings) = try drive(engine)
    if options.json {
      Output.write(try Output.json(object(completion, timings)))
    } else {
      Output.write("\n")
      if completion.finishReason == .truncated {
        Output.note(
          "truncated: --max-tokens \(maxTokens) did not suffice, the answer is shortened as the grammar allows"
        )
      }
      Output.note(
        String(
          format: "prefill %d tokens at %.0f/s, decode %d tokens at %.1f/s (%@, %@)", completion.promptTokens,
          timings.prefill, completion.tokens.count, timings.decode, session.backend.device.backend,
          session.compute.rawValue))
    }
  }

  /// Answers that run together.
  private static let together = 32

  /// Writes all samples in the order of their seeds.
  private func writeSamples(_ engine: Engine, _ request: GenerationRequest) throws {
    let ids = try engine.add(request, samples: samples)
    var done: [Int: Completion] = [:]
    var next = ids[...]
    while !engine.isIdle {
      for event in try engine.step() {
        switch event {
        case .text: break
        case .failed(_, let error): throw error
        case .finished(let id, let completion): done[id] = completion
        }
      }
      while let id = next.first, let completion = done.removeValue(forKey: id) {
        next = next.dropFirst()
        Output.write(options.json ? try Output.json(object(completion)) : completion.text + "\n")
      }
    }
  }

  private func promptText() throws -> String {
    if let prompt { return prompt }
    let file = try MappedFile(path: promptFile ?? "")
    guard let text = String(validating: file.bytes, as: UTF8.self) else {
      throw RetortError(
        .malformedRow, "the prompt is not UTF-8", file: promptFile, remedy: "Save the file as UTF-8.")
    }
    return text
  }

  private func encode(_ text: String, _ session: ModelSession) -> [Int32] {
    guard chat else { return session.tokenizer.encode(text, parseSpecial: true, addSpecial: true) }
    var messages = [ChatMessage(.user, text)]
    if let system { messages.insert(ChatMessage(.system, system), at: 0) }
    let bos = session.tokenizer.bosID.map { session.tokenizer.decode([$0], skipSpecial: false) }
    return session.tokenizer.encode(session.template.render(messages, bosToken: bos), parseSpecial: true)
  }

  private struct Timings {
    var prefill = 0.0
    var decode = 0.0
  }

  /// Steps until the sequence ends, streaming text unless JSON is asked for.
  private func drive(_ engine: Engine) throws -> (Completion, Timings) {
    var timings = Timings()
    let start = DispatchTime.now().uptimeNanoseconds
    var first: UInt64?
    while !engine.isIdle {
      for event in try engine.step() {
        switch event {
        case .text(_, let piece): if !options.json { Output.write(piece) }
        case .failed(_, let error): throw error
        case .finished(_, let completion):
          let end = DispatchTime.now().uptimeNanoseconds
          let prefillEnd = first ?? end
          timings.prefill = Double(completion.promptTokens) / (Double(prefillEnd - start) / 1e9)
          let decoded = max(0, completion.tokens.count - 1)
          timings.decode = end > prefillEnd ? Double(decoded) / (Double(end - prefillEnd) / 1e9) : 0
          return (completion, timings)
        }
      }
      if first == nil, engine.statistics.steps > 0, engine.hasGenerated {
        first = DispatchTime.now().uptimeNanoseconds
      }
    }
    throw RetortError(
      .deviceFailure, "generation ended without a result", remedy: "This is an engine error; report it.")
  }

  private func object(_ completion: Completion, _ timings: Timings? = nil) -> [String: Any] {
    var object: [String: Any] = [
      "prompt_tokens": completion.promptTokens, "tokens": completion.tokens.map(Int.init),
      "text": completion.text, "logprobs": completion.logProbabilities.map(Double.init),
      "jumped_tokens": completion.jumpedTokens, "finish_reason": completion.finishReason.rawValue,
    ]
    if let timings {
      object["timings"] = [
        "prefill_tokens_per_second": timings.prefill, "decode_tokens_per_second": timings.decode,
      ]
    }
    return object
  }
}
