import Basics

/// An encoder on disk: a Hugging Face folder with `config.json` and safetensors.
public struct EncoderSource: Sendable {
  public let folder: String
  public let configuration: EncoderConfiguration
  private let shards: [SafetensorsFile]
  /// What stands before every name: a model with a head on top keeps its encoder under `bert.`.
  private let prefix: String

  /// - Throws: `fileUnavailable`, `malformedFile` or `unsupported` for a folder that does not hold an encoder.
  public init(folder: String) throws {
    self.folder = folder
    configuration = try EncoderConfiguration(huggingFace: folder + "/config.json")
    let shards = try ModelSource.shards(folder)
    self.shards = shards
    let candidates = ["", configuration.architecture + "."]
    prefix =
      candidates.first { candidate in
        shards.contains { $0.tensors[candidate + "embeddings.word_embeddings.weight"] != nil }
      } ?? ""
  }

  public func hasTensor(_ name: String) -> Bool { shards.contains { $0.tensors[prefix + name] != nil } }

  /// A tensor by its Hugging Face name without the encoder's prefix.
  ///
  /// - Throws: `malformedFile` where it is missing.
  public func tensor(_ name: String) throws -> StoredTensor { try headTensor(prefix + name) }

  /// A tensor by its full name: those of a head on top (`classifier.weight`) have no prefix.
  ///
  /// - Throws: `malformedFile` where it is missing.
  public func headTensor(_ name: String) throws -> StoredTensor {
    for shard in shards {
      guard let info = shard.tensors[name] else { continue }
      return StoredTensor(
        name: name, dtype: info.dtype, shape: info.shape, file: shard.path,
        bytes: { shard.bytes(of: info) }, release: { shard.release(info) })
    }
    throw GGUFFile.malformed(folder, name, "the tensor is missing")
  }

  /// Weights in all; saturates.
  public var parameterCount: Int {
    shards.flatMap(\.tensors.values).reduce(0) { sum, tensor in
      let (next, overflow) = sum.addingReportingOverflow(tensor.shape.checkedCount ?? Int.max)
      return overflow ? Int.max : next
    }
  }
}
