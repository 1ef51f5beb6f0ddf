import Basics
import CPUBackend
import Foundation
import Generation
import LabellingMock
import ModelFormats
import Relevance
import Tensors
import Tokenizers
import Transformers

@testable import Labelling

/// The tiny llama model of Tests/Fixtures, loaded once: tests that use it run one at a time.
struct TinyModel {
  let tokenizer: Tokenizer
  let model: any DecoderModel
  let backend: CPUBackend

  static func source() throws -> ModelSource {
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    return try ModelSource(path: tests.appendingPathComponent("Fixtures/tiny-llama/mixed.gguf").path)
  }

  init() throws {
    let source = try TinyModel.source()
    tokenizer = try Tokenizer(VocabularySpec(source))
    backend = try CPUBackend(threads: 2)
    model = try ModelRegistry.loadDecoder(source, backend: backend, compute: .f32)
  }

  func runner(cacheTokens: Int) throws -> ModelRunner {
    try ModelRunner(model: model, backend: backend, cacheTokens: cacheTokens, cacheType: .f32)
  }

  func engine(sequences: Int, context: Int, cacheTokens: Int, stepTokens: Int = 512) throws -> Engine {
    Engine(
      runner: try runner(cacheTokens: cacheTokens), tokenizer: tokenizer,
      limits: .init(
        sequences: sequences, stepTokens: stepTokens, context: context, cacheTokens: cacheTokens))
  }

  func encoder(
    _ reasoning: RelevancePrompt.Reasoning, _ style: ChatTemplate.Style = .plain,
    form: PromptEncoder.Form = .fixed
  ) throws -> PromptEncoder {
    try PromptEncoder(
      prompt: RelevancePrompt(reasoning: reasoning), tokenizer: tokenizer, template: ChatTemplate(style),
      form: form)
  }
}

/// A job's files in a folder of their own, removed at the end.
final class JobFiles {
  let folder: String
  let input: String
  let output: String

  var errors: String { LabelOutput.errorsPath(output) }
  var ledgerPath: String { Ledger.path(forOutput: output) }

  /// - Parameter folder: an existing folder that is not removed; a new one where nil.
  init(_ text: String, in folder: String? = nil) throws {
    self.folder = folder ?? FileManager.default.temporaryDirectory.path + "/" + UUID().uuidString
    isOwner = folder == nil
    try FileManager.default.createDirectory(atPath: self.folder, withIntermediateDirectories: true)
    input = self.folder + "/pairs.jsonl"
    output = self.folder + "/labels.jsonl"
    try Data(text.utf8).write(to: URL(fileURLWithPath: input))
  }

  deinit { if isOwner { try? FileManager.default.removeItem(atPath: folder) } }

  private let isOwner: Bool

  func identity(shard: JobShard? = nil, settings: [String: String] = [:]) throws -> JobIdentity {
    JobIdentity(
      input: try InputFingerprint(path: input, format: .jsonLines), promptHash: "p", model: "mock",
      modelFingerprint: "m", shard: shard, settings: settings)
  }

  func ledger(shard: JobShard? = nil, settings: [String: String] = [:], restart: Bool = false) throws
    -> Ledger
  {
    try Ledger(path: ledgerPath, identity: identity(shard: shard, settings: settings), restart: restart)
  }

  func read(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) }

  func lines(_ path: String) throws -> [String] {
    String(decoding: try read(path), as: UTF8.self).split(separator: "\n").map(String.init)
  }

  /// Runs a job without a model to its end and writes its output.
  @discardableResult
  func run(
    _ labeller: any PairLabeller = MockLabeller(), shard: JobShard? = nil, limit: Int? = nil,
    window: Int = 64,
    settings: [String: String] = [:], restart: Bool = false, retryFailed: Bool = false
  ) throws -> JobProgress {
    let ledger = try Ledger(
      path: ledgerPath, identity: identity(shard: shard, settings: settings), restart: restart,
      retryFailed: retryFailed)
    let job = try LabelJob(
      labeller: labeller, reader: try PairReader(path: input), ledger: ledger,
      settings: .init(limit: limit, shard: shard, window: window))
    try job.run()
    try LabelOutput.write(LedgerReader(path: ledgerPath), output: output, before: limit)
    try ledger.close()
    return job.progress
  }
}

/// A line of an output or of an errors file, read back.
struct Line {
  let text: String
  private let fields: [String: Any]

  init(_ text: String) {
    self.text = text
    fields = (try? JSONSerialization.jsonObject(with: Data(text.utf8))) as? [String: Any] ?? [:]
  }

  subscript(name: String) -> Any? { fields[name] }

  var pairID: String? { fields["pair_id"] as? String }
  var line: Int? { fields["line"] as? Int }
  var code: String? { fields["code"] as? String }
  var model: String? { fields["model"] as? String }
  var rationale: String? { fields["rationale"] as? String }
  var promptTokens: Int? { (fields["tokens"] as? [String: Int])?["prompt"] }
  var generatedTokens: Int { (fields["tokens"] as? [String: Int])?["generated"] ?? -1 }
  /// In the order of the standard outline; nil where the record has null.
  var verdicts: [Verdict?] {
    let values = fields["verdicts"] as? [String: Any] ?? [:]
    return RationaleOutline.standard.names.map { (values[$0] as? String).flatMap(Verdict.init) }
  }
  var isTruncated: Bool? { fields["truncated"] as? Bool }
  var probabilities: [Double] {
    let values = fields["probabilities"] as? [String: Double] ?? [:]
    return LabelSet.standard.names.compactMap { values[$0] }
  }
}

/// Pairs with scattered queries; every eleventh fails, every thirteenth is no pair at all.
func mockPairs(_ rows: Int) -> String {
  (0..<rows).map { row in
    if row % 13 == 12 { return #"{"pair_id":"p\#(row)""# }
    let title = row % 11 == 10 ? "fail \(row)" : "title, \(row) \"quoted\""
    let query = "query \(row * 7919 % max(1, rows / 7))"
    return #"{"pair_id":"p\#(row)","query":"\#(query)","title":"\#(title.replacing("\"", with: "\\\""))"}"#
  }.joined(separator: "\n") + "\n"
}
