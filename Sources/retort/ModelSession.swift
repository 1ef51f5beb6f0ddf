import Basics
import Foundation
import Generation
import ModelFormats
import Tensors
import Tokenizers
import Transformers

/// A model opened, loaded and ready to run.
struct ModelSession {
  let source: ModelSource
  let tokenizer: Tokenizer
  let template: ChatTemplate
  let backend: any Backend
  let compute: ComputeMode
  /// How keys and values are kept.
  let cacheType: CacheType
  let model: any DecoderModel
  let loadSeconds: Double

  /// - Throws: what opening, checking and loading throw.
  init(_ options: ModelOptions, _ run: RunOptions) throws {
    let start = DispatchTime.now().uptimeNanoseconds
    source = try ModelSource(path: ModelPath.resolve(options.model))
    tokenizer = try Tokenizer(VocabularySpec(source))
    template = try ModelSession.template(options.template, tokenizer)
    backend = try run.makeBackend()
    compute = try ModelRegistry.resolve(options.compute, source: source, backend: backend)
    let headDim = source.configuration.headDim
    cacheType = run.kvCache.type(compute, headDim: headDim, backend: backend)
    try backend.checkCache(cacheType, headDim: headDim)
    let bar = ProgressBar("Loading", total: 100, isEnabled: !run.json)
    let shown = Shown(bar)
    model = try ModelRegistry.loadDecoder(source, backend: backend, compute: compute) {
      shown.bar.update(Int($0 * 100))
    }
    bar.finish()
    loadSeconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
  }

  // The loader reports from the thread that called it.
  private struct Shown: @unchecked Sendable {
    let bar: ProgressBar
    init(_ bar: ProgressBar) { self.bar = bar }
  }

  static func template(_ name: String?, _ tokenizer: Tokenizer) throws -> ChatTemplate {
    if let name { return try ChatTemplate(named: name) }
    return try ChatTemplate.detect(from: tokenizer.chatTemplate)
  }

  func makeRunner(cacheTokens: Int) throws -> ModelRunner {
    try ModelRunner(model: model, backend: backend, cacheTokens: cacheTokens, cacheType: cacheType)
  }

  func makeEngine(sequences: Int, context: Int, cacheTokens: Int, stepTokens: Int = 512) throws -> Engine {
    Engine(
      runner: try makeRunner(cacheTokens: cacheTokens), tokenizer: tokenizer,
      limits: .init(
        sequences: sequences, stepTokens: stepTokens, context: context, cacheTokens: cacheTokens))
  }

  /// The name that records carry.
  var name: String {
    let last = (source.path as NSString).lastPathComponent
    return last == "model.gguf"
      ? ((source.path as NSString).deletingLastPathComponent as NSString).lastPathComponent : last
  }
}
