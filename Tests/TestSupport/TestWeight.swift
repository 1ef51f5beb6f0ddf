import Basics
import Tensors

/// A small matrix or vector stored as a model file would store it.
public final class TestWeight: @unchecked Sendable {
  public let dtype: DType
  public let shape: Shape
  /// What the stored bytes decode to: the reference multiplies these.
  public let values: [Double]
  private let memory: UnsafeMutableRawBufferPointer

  /// Encodes `values` as `dtype`.
  public init(_ values: [Float], shape: Shape, dtype: DType) {
    precondition(values.count == shape.count)
    self.dtype = dtype
    self.shape = shape
    let bytes = TestWeight.encode(values, dtype)
    memory = .allocate(byteCount: max(bytes.count, 1), alignment: 64)
    memory.copyBytes(from: bytes)
    self.values = TestWeight.decode(UnsafeRawBufferPointer(memory), dtype, count: values.count)
  }

  /// A matrix `[out, in]` of random weights.
  public convenience init(random seed: UInt64, _ out: Int, _ width: Int, _ dtype: DType) {
    var random = TestRandom(seed)
    self.init(random.floats(out * width, in: -0.6...0.5), shape: [out, width], dtype: dtype)
  }

  deinit { memory.deallocate() }

  /// The source; its closure keeps the bytes alive.
  public var source: WeightSource {
    WeightSource(name: "weight.\(dtype.rawValue)", dtype: dtype, shape: shape, file: "test") {
      UnsafeRawBufferPointer(self.memory)
    }
  }

  /// The types that a matrix may be stored in.
  public static let dtypes: [DType] = [
    .f32, .f16, .bf16, .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q4_K, .q5_K, .q6_K,
  ]

  static func encode(_ values: [Float], _ dtype: DType) -> [UInt8] {
    switch dtype {
    case .f32, .i32: values.flatMap { littleEndian($0.bitPattern) }
    case .f16: values.flatMap { littleEndian(Float16($0).bitPattern) }
    case .bf16: values.flatMap { littleEndian(BFloat16($0).bitPattern) }
    default: QuantizedBlocks.encode(values, dtype: dtype)
    }
  }

  static func decode(_ bytes: UnsafeRawBufferPointer, _ dtype: DType, count: Int) -> [Double] {
    switch dtype {
    case .f32, .i32: (0..<count).map { Double(bytes.load(fromByteOffset: $0 * 4, as: Float.self)) }
    case .f16: (0..<count).map { Double(bytes.load(fromByteOffset: $0 * 2, as: Float16.self)) }
    case .bf16:
      (0..<count).map {
        Double(BFloat16(bitPattern: bytes.load(fromByteOffset: $0 * 2, as: UInt16.self)).float)
      }
    default: QuantizedBlocks.decode(bytes, dtype: dtype, count: count).doubles
    }
  }

  private static func littleEndian<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian, Array.init)
  }
}
