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
    _ = try run.device?.single()
    try self.init(options, run, title: "Loading", makeBackend: run.makeBackend)
  }

  /// - Parameter title: what the progress bar says.
  /// - Throws: what opening, checking and loading throw.
  init(
    _ options: ModelOptions, _ run: RunOptions, title: String, makeBackend: () throws -> any Backend
  ) throws {
    let start = DispatchTime.now().uptimeNanoseconds
    source = try ModelSource(path: ModelPath.resolve(options.model))
    tokenizer = try Tokenizer(VocabularySpec(source))
    template = try ModelSession.template(options.template, tokenizer)
    backend = try makeBackend()
    compute = try ModelRegistry.resolve(options.compute, source: source, backend: backend)
    let headDim = source.configuration.headDim
    cacheType = run.kvCache.type(compute, headDim: headDim, backend: backend)
    try backend.checkCache(cacheType, headDim: headDim)
    model = try ModelSession.load(source, backend, compute, run.json ? nil : title)
    loadSeconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
  }

  /// The model of another session on a backend of its own, with a copy of the weights.
  ///
  /// - Throws: what loading throws.
  init(_ other: ModelSession, showsProgress: Bool, title: String, makeBackend: () throws -> any Backend)
    throws
  {
    let start = DispatchTime.now().uptimeNanoseconds
    (source, tokenizer, template) = (other.source, other.tokenizer, other.template)
    (backend, compute, cacheType) = (try makeBackend(), other.compute, other.cacheType)
    try backend.checkCache(cacheType, headDim: source.configuration.headDim)
    model = try ModelSession.load(source, backend, compute, showsProgress ? title : nil)
    loadSeconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
  }

  private static func load(
    _ source: ModelSource, _ backend: any Backend, _ compute: ComputeMode, _ title: String?
  ) throws -> any DecoderModel {
    let bar = ProgressBar(title ?? "", total: 100, isEnabled: title != nil)
    let shown = Shown(bar)
    defer { bar.finish() }
    return try ModelRegistry.loadDecoder(source, backend: backend, compute: compute) {
      shown.bar.update(Int($0 * 100))
    }
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
