import Basics
import Tensors
import Transformers

/// Runs a step's batch: the engine's only door to a model, so that tests can put a fake behind it.
public protocol StepRunner: AnyObject, Sendable {
  var vocabularySize: Int { get }
  /// Runs the batch and keeps the logits of `outputRows` on the device.
  ///
  /// In each layer the keys and values of all rows are stored before any is read: a sequence may read blocks that
  /// another one fills in the same step.
  func run(_ batch: BatchMetadata, outputRows: [Int32]) throws -> any StepLogits
}

/// Logits of a step, read back in part.
public protocol StepLogits {
  /// One request a row.
  func read(_ requests: [LogProbabilityRequest]) throws -> [LogProbabilityRow]
  /// - Parameter allowed: empty, or one entry a row.
  func gumbelArgmax(
    temperatures: [Float], keys: [UInt64], positions: [UInt64], allowed: [AllowedTokens?]
  ) throws -> [Int32]
}

/// A decoder on a backend with its cache.
public final class ModelRunner: StepRunner, Sendable {
  let model: any DecoderModel
  let backend: any Backend
  let cache: any KVCache
  public var vocabularySize: Int { model.configuration.vocabularySize }

  /// - Parameter cacheTokens: tokens that the cache holds in all, rounded up to whole blocks.
  /// - Throws: `outOfMemory` where the cache does not fit; `invalidArgument` for a size below 1.
  public init(
    model: any DecoderModel, backend: any Backend, cacheTokens: Int, blockSize: Int = ModelRunner.blockSize,
    cacheType: CacheType
  ) throws {
    guard cacheTokens >= 1, blockSize >= 1 else {
      throw RetortError(
        .invalidArgument, "a cache of \(cacheTokens) tokens in blocks of \(blockSize)",
        field: blockSize < 1 ? "blockSize" : "cacheTokens", remedy: "Give sizes of at least 1.")
    }
    self.model = model
    self.backend = backend
    cache = try backend.makeKVCache(
      KVCacheSpec(
        layers: model.configuration.layers, blocks: (cacheTokens - 1) / blockSize + 1,
        blockSize: blockSize, kvHeads: model.configuration.kvHeads, headDim: model.configuration.headDim,
        dtype: cacheType))
  }

  public static let blockSize = 16

  public var cacheSpec: KVCacheSpec { cache.spec }

  public func run(_ batch: BatchMetadata, outputRows: [Int32]) throws -> any StepLogits {
    let step = ForwardStep(backend: backend, batch: try backend.prepare(batch), cache: cache)
    // A step of prefill alone asks for no logits; one row spares every operation the empty case.
    let rows = outputRows.isEmpty ? [0] : outputRows
    return DeviceLogits(logits: try model.forward(step, outputRows: rows), backend: backend)
  }

  private struct DeviceLogits: StepLogits {
    let logits: Tensor
    let backend: any Backend

    func read(_ requests: [LogProbabilityRequest]) throws -> [LogProbabilityRow] {
      try backend.logProbabilities(logits, requests)
    }

    func gumbelArgmax(
      temperatures: [Float], keys: [UInt64], positions: [UInt64], allowed: [AllowedTokens?]
    ) throws -> [Int32] {
      try backend.gumbelArgmax(
        logits, temperatures: temperatures, keys: keys, positions: positions, allowed: allowed)
    }
  }
}
