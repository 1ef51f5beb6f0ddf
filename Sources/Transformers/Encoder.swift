import Basics
import ModelFormats
import Tensors

/// A bidirectional encoder on a backend.
public protocol EncoderModel: AnyObject, Sendable {
  var configuration: EncoderConfiguration { get }
  /// Bytes of all weights that a pass reads.
  var weightBytes: Int { get }
  /// Multiply-adds a token takes outside attention, times two.
  var flopsPerToken: Int { get }
  /// The last layer's hidden states `[rows, hiddenSize]` of a packed batch; no row is padding.
  ///
  /// - Throws: `invalidArgument` for ids, positions or segments outside the model's tables.
  func forward(_ batch: any PreparedPackedBatch, on backend: any Backend) throws -> Tensor
  /// The last layer's hidden states of each sequence's first row (the [CLS] token's), `[sequences, hiddenSize]`,
  /// without computing its others.
  ///
  /// - Throws: as ``forward(_:on:)``.
  func forwardFirstRows(_ batch: any PreparedPackedBatch, on backend: any Backend) throws -> Tensor
}

/// How a sequence's rows become one.
public enum Pooling: String, Sendable, CaseIterable {
  /// The first row, the [CLS] token's.
  case cls
  /// The mean of all rows.
  case mean

  /// `[rows, width] → [sequences, width]`.
  public func callAsFunction(_ hidden: Tensor, _ batch: any PreparedPackedBatch, on backend: any Backend)
    throws
    -> Tensor
  {
    switch self {
    case .cls: try backend.gatherRows(hidden, Array(batch.packed.starts.dropLast()))
    case .mean: try backend.meanPool(hidden, batch)
    }
  }
}

/// Layer norm with its weight and bias.
public struct LayerNormLayer: Sendable {
  let weight: Tensor
  let bias: Tensor
  let epsilon: Float

  func callAsFunction(_ x: Tensor, _ backend: any Backend) throws -> Tensor {
    try backend.layerNorm(x, weight: weight, bias: bias, epsilon: epsilon)
  }
}

/// Reads an encoder's weights, checks their shapes and hands them to a backend.
struct EncoderLoader {
  let source: EncoderSource
  let backend: any Backend
  let compute: ComputeMode

  var configuration: EncoderConfiguration { source.configuration }

  func weight(_ name: String, _ shape: Shape) throws -> WeightSource {
    try source.tensor(name).weight(shape, field: name)
  }

  /// Matrices stacked along the output, with their biases; `fine` asks for finer activations at 8 bits.
  func linear(_ names: [String], out: Int, in width: Int, fine: Bool = false) throws -> Linear {
    let weights = try names.map { name in
      var source = try weight(name + ".weight", [out, width])
      source.needsFineActivations = fine
      return source
    }
    let biases = try names.map { try weight($0 + ".bias", [out]) }
    return Linear(
      weight: try backend.loadMatrix(weights, compute: compute), bias: try backend.loadVector(biases))
  }

  /// Older files call a norm's weight and bias `gamma` and `beta`.
  func norm(_ name: String) throws -> LayerNormLayer {
    let shape: Shape = [configuration.hiddenSize]
    let isOld = source.hasTensor(name + ".gamma")
    return LayerNormLayer(
      weight: try backend.loadVector([weight(name + (isOld ? ".gamma" : ".weight"), shape)]),
      bias: try backend.loadVector([weight(name + (isOld ? ".beta" : ".bias"), shape)]),
      epsilon: configuration.layerNormEpsilon)
  }

  func table(_ name: String, rows: Int) throws -> any EmbeddingTable {
    try backend.loadTable(weight(name + ".weight", [rows, configuration.hiddenSize]))
  }
}
