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
  /// - Throws: `unsupported` for an unknown architecture; `malformedFile` or `shapeMismatch` for a bad tensor.
  public static func loadDecoder(
    _ source: ModelSource, backend: any Backend, compute: ComputeMode,
    progress: (@Sendable (Double) -> Void)? = nil
  ) throws -> any DecoderModel {
    let configuration = source.configuration
    guard let load = decoders[configuration.architecture] else {
      throw RetortError(
        .unsupported, "unknown architecture “\(configuration.architecture)”", file: source.path,
        field: "architecture", remedy: "Use a model of: \(architectures.joined(separator: ", ")).")
    }
    let loader = DecoderLoader(
      source: source, configuration: configuration, backend: backend,
      compute: try resolve(compute, source: source, backend: backend))
    return try load(loader, progress)
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
