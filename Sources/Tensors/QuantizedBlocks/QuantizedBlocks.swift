import Basics

/// Reference decoders and encoders of every storage type, in plain Swift and with ggml's exact arithmetic.
///
/// They are the oracle for the kernels and make quantised weights for tests; nothing here is fast.
/// Layouts: ggml `ggml-quants.c` (`dequantize_row_*`, `quantize_row_*_ref`).
public enum QuantizedBlocks {
  /// Decodes the first `count` elements stored in `bytes`.
  ///
  /// - Precondition: `count` is a whole number of blocks and `bytes` holds them all.
  public static func decode(_ bytes: UnsafeRawBufferPointer, dtype: DType, count: Int) -> [Float] {
    guard let needed = dtype.byteCount(elements: count), needed <= bytes.count else {
      preconditionFailure("\(count) elements of \(dtype) do not fit \(bytes.count) bytes")
    }
    return [Float](unsafeUninitializedCapacity: count) { output, filled in
      filled = count
      for block in 0..<(count / dtype.blockSize) {
        let start = block * dtype.blockBytes
        let source = UnsafeRawBufferPointer(rebasing: bytes[start..<(start + dtype.blockBytes)])
        let first = block * dtype.blockSize
        let target = UnsafeMutableBufferPointer(rebasing: output[first..<(first + dtype.blockSize)])
        decodeBlock(source, dtype, target)
      }
    }
  }

  /// Encodes `values` by rounding to the nearest value that the block's scale can express.
  ///
  /// Sub-block scales come from the extremes, not from a search, so the error is a little larger than that of
  /// ggml's quantiser; the layout is valid for every input, finite or not.
  ///
  /// - Precondition: `values` is a whole number of blocks.
  public static func encode(_ values: [Float], dtype: DType) -> [UInt8] {
    guard let needed = dtype.byteCount(elements: values.count) else {
      preconditionFailure("\(values.count) elements are not a whole number of \(dtype) blocks")
    }
    var output = [UInt8](repeating: 0, count: needed)
    output.withUnsafeMutableBytes { bytes in
      values.withUnsafeBufferPointer { values in
        for block in 0..<(values.count / dtype.blockSize) {
          let start = block * dtype.blockBytes
          let target = UnsafeMutableRawBufferPointer(rebasing: bytes[start..<(start + dtype.blockBytes)])
          let first = block * dtype.blockSize
          encodeBlock(
            UnsafeBufferPointer(rebasing: values[first..<(first + dtype.blockSize)]), dtype, target)
        }
      }
    }
    return output
  }

  private static func decodeBlock(
    _ source: UnsafeRawBufferPointer, _ dtype: DType, _ target: UnsafeMutableBufferPointer<Float>
  ) {
    switch dtype {
    case .f32: target[0] = source.loadUnaligned(as: Float.self)
    case .f16: target[0] = half(source, 0)
    case .bf16: target[0] = BFloat16(bitPattern: source.loadUnaligned(as: UInt16.self)).float
    case .i32: target[0] = Float(source.loadUnaligned(as: Int32.self))
    case .q4_0: decodeQ4_0(source, target)
    case .q4_1: decodeQ4_1(source, target)
    case .q5_0: decodeQ5_0(source, target)
    case .q5_1: decodeQ5_1(source, target)
    case .q8_0: decodeQ8_0(source, target)
    case .q4_K: decodeQ4_K(source, target)
    case .q5_K: decodeQ5_K(source, target)
    case .q6_K: decodeQ6_K(source, target)
    }
  }

  private static func encodeBlock(
    _ source: UnsafeBufferPointer<Float>, _ dtype: DType, _ target: UnsafeMutableRawBufferPointer
  ) {
    switch dtype {
    case .f32: target.storeBytes(of: source[0], as: Float.self)
    case .f16: store(half: source[0], target, 0)
    case .bf16: target.storeBytes(of: BFloat16(source[0]).bitPattern, as: UInt16.self)
    case .i32:
      // The largest Float below 2^31 bounds the range, so the conversion cannot trap.
      target.storeBytes(of: Int32(clamped(source[0], -2_147_483_648, 2_147_483_520)), as: Int32.self)
    case .q4_0: encodeQ4_0(source, target)
    case .q4_1: encodeQ4_1(source, target)
    case .q5_0: encodeQ5_0(source, target)
    case .q5_1: encodeQ5_1(source, target)
    case .q8_0: encodeQ8_0(source, target)
    case .q4_K: encodeQ4_K(source, target)
    case .q5_K: encodeQ5_K(source, target)
    case .q6_K: encodeQ6_K(source, target)
    }
  }

  static func half(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> Float {
    Float(Float16(bitPattern: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
  }

  static func store(half value: Float, _ bytes: UnsafeMutableRawBufferPointer, _ offset: Int) {
    bytes.storeBytes(of: Float16(value).bitPattern, toByteOffset: offset, as: UInt16.self)
  }

  /// Rounds to an integer within bounds; a NaN becomes the lower bound.
  static func clamped(_ value: Float, _ low: Float, _ high: Float) -> Int {
    guard value > low else { return Int(low) }
    return Int(min(value, high).rounded())
  }

  /// 1/x, or 0 for a scale of zero or one that is not finite.
  static func inverse(_ scale: Float) -> Float {
    scale != 0 && scale.isFinite ? 1 / scale : 0
  }

  /// The value of the largest magnitude, with its sign.
  static func extreme(_ values: some Sequence<Float>) -> Float {
    values.reduce(0) { abs($1) > abs($0) ? $1 : $0 }
  }
}
