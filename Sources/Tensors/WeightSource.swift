import Basics

/// How a backend stores and multiplies weights.
public enum ComputeMode: String, Sendable, CaseIterable {
  /// bf16 where a copy of the weights fits in half of the free memory, else lean.
  case auto
  /// Weights widened to Float32 and Float32 arithmetic: the accurate path.
  case f32
  /// Weights repacked once to bfloat16; sums in Float32.
  case bf16
  /// Weights requantised once to int8 with a scale for every few inputs, activations likewise as they come.
  case int8
  /// Weights stay at the file's precision and are unpacked tile by tile.
  case lean
}

/// A stored matrix or vector as it lies in the model file.
public struct WeightSource: Sendable {
  public let name: String
  public let dtype: DType
  /// `[out, in]` for a matrix, `[rows, width]` for a table, `[width]` for a vector.
  public let shape: Shape
  /// The bytes in the file, row by row; valid as long as the closure lives.
  public let bytes: @Sendable () -> UnsafeRawBufferPointer
  /// Tells the file that these bytes are not needed in memory for now.
  public let release: @Sendable () -> Void
  /// The file that holds the bytes, for error messages.
  public let file: String
  /// Whether 8 bits are too few for the activations that meet this matrix; products at 8 bits then take 15.
  public var needsFineActivations = false
  /// Where the weight is drawn instead of read: what to draw; ``bytes`` then draws on the host.
  public var random: RandomWeights?

  public init(
    name: String, dtype: DType, shape: Shape, file: String,
    bytes: @escaping @Sendable () -> UnsafeRawBufferPointer, release: @escaping @Sendable () -> Void = {}
  ) {
    self.name = name
    self.dtype = dtype
    self.shape = shape
    self.file = file
    self.bytes = bytes
    self.release = release
  }
}

/// A matrix prepared by a backend for `y = x Wᵀ`; several sources may be stacked along the output.
public protocol MatrixWeight: AnyObject, Sendable {
  /// Input width K.
  var inputWidth: Int { get }
  /// Output width N, the sum over the stacked sources.
  var outputWidth: Int { get }
  /// Bytes that one pass over the weights reads.
  var byteCount: Int { get }
}

/// A table of rows prepared by a backend for look-ups.
public protocol EmbeddingTable: AnyObject, Sendable {
  var rows: Int { get }
  var width: Int { get }
}
