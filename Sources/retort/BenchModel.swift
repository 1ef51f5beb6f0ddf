import ArgumentParser
import Basics
import Foundation
import Generation
import ModelFormats
import Tensors
import Transformers

/// The model of a benchmark that needs no text: one from a file, or a shape with random weights.
struct BenchModelOptions: ParsableArguments {
  @Option(help: "A .gguf file, a Hugging Face folder, or a name that Tools/fetch-model has fetched.")
  var model: String?

  @Option(
    help: ArgumentHelp(
      """
      How weights are kept: f32 (accurate), bf16 (two bytes a weight), int8 (one byte), lean (as in \
      the file), auto. With --random-weights auto is lean.
      """, valueName: "auto|f32|bf16|int8|lean"))
  var compute: ComputeMode = .auto

  @Option(
    help: ArgumentHelp(
      """
      Instead of --model: a model's shape with weights drawn on the device, \
      \(ModelShape.known.map(\.name).joined(separator: ", ")) or a config.json.
      """, valueName: "shape"))
  var randomWeights: String?

  @Option(
    help: ArgumentHelp(
      "The type of drawn matrices.", valueName: WeightType.allCases.map(\.rawValue).joined(separator: "|")))
  var weightType: WeightType = .bf16

  func validate() throws {
    guard (model == nil) != (randomWeights == nil) else {
      throw ValidationError("Give one of --model and --random-weights.")
    }
  }
}

/// The types that drawn matrices may have.
enum WeightType: String, CaseIterable, ExpressibleByArgument {
  case f32, f16, bf16
  // swift-format-ignore: AlwaysUseLowerCamelCase
  case q4_0, q4_1, q5_0, q5_1, q8_0, q4_K, q5_K, q6_K

  var dtype: DType {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    case .q4_0: .q4_0
    case .q4_1: .q4_1
    case .q5_0: .q5_0
    case .q5_1: .q5_1
    case .q8_0: .q8_0
    case .q4_K: .q4_K
    case .q5_K: .q5_K
    case .q6_K: .q6_K
    }
  }
}

/// A decoder on a backend, ready to be measured.
struct BenchModel {
  let name: String
  /// Where the weights are from: "file", or "random" with their type.
  let weights: String
  let backend: any Backend
  let compute: ComputeMode
  let cacheType: CacheType
  let model: any DecoderModel
  let loadSeconds: Double

  /// - Throws: what opening, checking and loading throw.
  init(_ options: BenchModelOptions, _ run: RunOptions) throws {
    if let shape = options.randomWeights {
      try self.init(random: ModelShape(shape), options, run)
    } else {
      var modelOptions = ModelOptions()
      (modelOptions.model, modelOptions.compute, modelOptions.template) = (
        options.model ?? "", options.compute, nil
      )
      self.init(try ModelSession(modelOptions, run))
    }
  }

  private init(_ session: ModelSession) {
    (name, weights) = (session.name, "file")
    (backend, compute, cacheType) = (session.backend, session.compute, session.cacheType)
    (model, loadSeconds) = (session.model, session.loadSeconds)
  }

  private init(random shape: ModelShape, _ options: BenchModelOptions, _ run: RunOptions) throws {
    let start = DispatchTime.now().uptimeNanoseconds
    _ = try run.device?.single()
    backend = try run.makeBackend()
    compute = options.compute == .auto ? .lean : options.compute
    let headDim = shape.configuration.headDim
    cacheType = run.kvCache.type(compute, headDim: headDim, backend: backend)
    try backend.checkCache(cacheType, headDim: headDim)
    model = try ModelRegistry.randomDecoder(
      shape, dtype: options.weightType.dtype, backend: backend, compute: compute)
    try backend.synchronize()
    (name, weights) = (shape.name, "random \(options.weightType.rawValue)")
    loadSeconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
  }

  func makeRunner(cacheTokens: Int) throws -> ModelRunner {
    try ModelRunner(model: model, backend: backend, cacheTokens: cacheTokens, cacheType: cacheType)
  }

  /// An engine over token ids; it makes no text.
  func makeEngine(sequences: Int, context: Int, cacheTokens: Int, stepTokens: Int) throws -> Engine {
    Engine(
      runner: try makeRunner(cacheTokens: cacheTokens), tokenizer: nil,
      limits: .init(
        sequences: sequences, stepTokens: stepTokens, context: context, cacheTokens: cacheTokens))
  }
}
