import Basics
import ModelFormats
import Tensors

/// The architectures that can be loaded: one line each.
public enum ModelRegistry {
  typealias Load = @Sendable (DecoderLoader, (@Sendable (Double) -> Void)?) throws -> any DecoderModel

  static let decoders: [String: Load] = [
    "llama": Llama.load,
    "qwen2": Qwen2.load,
  ]

  /// Names of the architectures, sorted.
  public static var architectures: [String] { decoders.keys.sorted() }

  /// Loads a decoder's weights onto a backend.
  ///
  /// - Parameter compute: how weights are kept; `.auto` is resolved by ``resolve(_:source:backend:)``.
  /// - Throws: `unsupported` for an unknown architecture; `outOfMemory`, before anything is loaded, where the weights
  ///   cannot fit; `malformedFile` or `shapeMismatch` for a bad tensor.
  public static func loadDecoder(
    _ source: ModelSource, backend: any Backend, compute: ComputeMode,
    progress: (@Sendable (Double) -> Void)? = nil
  ) throws -> any DecoderModel {
    let load = try decoder(source.configuration.architecture, file: source.path)
    let compute = try resolve(compute, source: source, backend: backend)
    try ModelMemory(source).requireFit(
      compute, freeBytes: backend.freeMemoryBytes, device: backend.device.name, file: source.path)
    let loader = DecoderLoader(
      source: source, configuration: source.configuration, backend: backend, compute: compute)
    return try load(loader, progress)
  }

  /// A decoder of a shape with drawn weights, for benchmarks.
  ///
  /// - Parameters:
  ///   - dtype: the type of the matrices and of the embedding table.
  ///   - compute: how weights are kept; `.auto` keeps their type.
  /// - Throws: `unsupported` for an unknown architecture; `invalidArgument` where rows are not whole blocks.
  public static func randomDecoder(
    _ shape: ModelShape, dtype: DType, backend: any Backend, compute: ComputeMode,
    progress: (@Sendable (Double) -> Void)? = nil
  ) throws -> any DecoderModel {
    let load = try decoder(shape.configuration.architecture, file: shape.name)
    let loader = DecoderLoader(
      source: RandomWeightStore(tiesOutput: shape.tiesOutput, dtype: dtype),
      configuration: shape.configuration, backend: backend, compute: compute == .auto ? .lean : compute)
    return try load(loader, progress)
  }

  private static func decoder(_ architecture: String, file: String) throws -> Load {
    guard let load = decoders[architecture] else {
      throw RetortError(
        .unsupported, "unknown architecture “\(architecture)”", file: file, field: "architecture",
        remedy: "Use a model of: \(architectures.joined(separator: ", ")).")
    }
    return load
  }

  typealias LoadEncoder =
    @Sendable (EncoderLoader, (@Sendable (Double) -> Void)?) throws -> any EncoderModel

  static let encoders: [String: LoadEncoder] = [
    "bert": Bert.load
  ]

  /// Loads an encoder's weights onto a backend.
  ///
  /// - Parameter compute: how weights are kept; `.auto` is bf16, for encoders are small.
  /// - Throws: `unsupported` for an unknown architecture; `malformedFile` or `shapeMismatch` for a bad tensor.
  public static func loadEncoder(
    _ source: EncoderSource, backend: any Backend, compute: ComputeMode,
    progress: (@Sendable (Double) -> Void)? = nil
  ) throws -> any EncoderModel {
    try encoder(EncoderLoader(source: source, backend: backend, compute: compute.forEncoders), progress)
  }

  /// Loads an encoder with a classifier on its first row.
  ///
  /// - Throws: as ``loadEncoder(_:backend:compute:progress:)``, and what reading the labels throws.
  public static func loadClassifier(
    _ source: EncoderSource, backend: any Backend, compute: ComputeMode,
    progress: (@Sendable (Double) -> Void)? = nil
  ) throws -> SequenceClassifier {
    let loader = EncoderLoader(source: source, backend: backend, compute: compute.forEncoders)
    let labels = try ClassifierLabels(huggingFace: source.folder + "/config.json")
    return try SequenceClassifier(encoder(loader, progress), loader, labels: labels)
  }

  private static func encoder(_ loader: EncoderLoader, _ progress: (@Sendable (Double) -> Void)?) throws
    -> any EncoderModel
  {
    let source = loader.source
    guard let load = encoders[source.configuration.architecture] else {
      throw RetortError(
        .unsupported, "unknown encoder “\(source.configuration.architecture)”", file: source.folder,
        field: "architecture", remedy: "Use an encoder of: \(encoders.keys.sorted().joined(separator: ", "))."
      )
    }
    return try load(loader, progress)
  }

  /// `.auto` becomes bf16 where two bytes a weight fit in half of the free memory, else lean.
  public static func resolve(_ compute: ComputeMode, source: ModelSource, backend: any Backend) throws
    -> ComputeMode
  {
    guard compute == .auto else { return compute }
    let copy = source.parameterCount.multipliedReportingOverflow(by: 2)
    return !copy.overflow && copy.partialValue <= backend.freeMemoryBytes / 2 ? .bf16 : .lean
  }
}

extension ModelConfiguration {
  /// The rotary embedding that the configuration names.
  func rope() throws -> RoPE {
    var scale: Float = 1
    if case .linear(let factor) = ropeScaling { scale = Float(factor) }
    return RoPE(
      headDim: headDim, rotaryDim: headDim, base: Float(ropeBase), positionScale: scale,
      pairing: ropeStyle == .neighbours ? .neighbours : .halves)
  }
}

extension ComputeMode {
  /// Encoders are small, so that two bytes a weight always fit.
  fileprivate var forEncoders: ComputeMode { self == .auto ? .bf16 : self }
}
