import Basics
import CPUBackend
import Foundation
import Generation
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

  func encoder(_ reasoning: RelevancePrompt.Reasoning, _ style: ChatTemplate.Style = .plain) throws
    -> PromptEncoder
  {
    try PromptEncoder(
      prompt: RelevancePrompt(reasoning: reasoning), tokenizer: tokenizer, template: ChatTemplate(style))
  }
}

/// A file in a folder of its own, removed at the end.
final class TemporaryFile {
  let path: String
  private let folder: URL

  init(name: String, _ text: String) throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    path = folder.appendingPathComponent(name).path
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
  }

  deinit { try? FileManager.default.removeItem(at: folder) }
}
