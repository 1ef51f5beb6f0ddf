import Basics
import Dispatch
import Synchronization

/// Weights that are drawn instead of read: they stand for a model's where only its shape matters, as in benchmarks.
///
/// Every backend draws the same bits, from Philox with the key ``seed``. Element e of a plain type takes word e mod 4
/// at counter (e / 4, 0): its upper 24 bits, less 2²³, times ``step`` plus ``mean``. Block b of a quantised type takes
/// the words at counters (b, 0), (b, 1), … as its bytes, low byte first, and the header of
/// ``header(_:)`` over them, so that every block is valid and its values have ``deviation`` about 0.
public struct RandomWeights: Sendable, Hashable {
  public let seed: UInt64
  /// The standard deviation of the elements.
  public let deviation: Float
  /// What plain types vary about; quantised ones vary about nearly 0.
  public let mean: Float

  public init(seed: UInt64, deviation: Float, mean: Float = 0) {
    self.seed = seed
    self.deviation = deviation
    self.mean = mean
  }

  /// What a plain element's whole number is multiplied by: uniform numbers up to √3 deviations from the mean.
  public var step: Float { deviation * 1.7320508 / 8_388_608 }

  /// The half-precision numbers that a block starts from: where they lie and their bits.
  public func header(_ dtype: DType) -> (offset: Int, values: [UInt16]) {
    // The divisors are the standard deviations of a block's elements where its scale is 1 and its bits are random.
    let scale: Float
    let values: [Float]
    switch dtype {
    case .f32, .f16, .bf16, .i32: return (0, [])
    case .q4_0, .q4_1:
      scale = deviation / 4.61
      values = dtype == .q4_0 ? [scale] : [scale, -7.5 * scale]
    case .q5_0, .q5_1:
      scale = deviation / 9.23
      values = dtype == .q5_0 ? [scale] : [scale, -15.5 * scale]
    case .q8_0: values = [deviation / 73.9]
    case .q4_K:
      scale = deviation / 256.7
      values = [scale, 7.5 * scale]
    case .q5_K:
      scale = deviation / 523.6
      values = [scale, 15.5 * scale]
    case .q6_K: return (208, [Float16(deviation / 1365.7).bitPattern])
    }
    return (0, values.map { Float16($0).bitPattern })
  }

  /// Writes `count` elements from the tensor's element `first` on; both are whole blocks.
  public func fill(_ bytes: UnsafeMutableRawBufferPointer, dtype: DType, first: Int, count: Int) {
    dtype.isQuantized
      ? fillBlocks(bytes, dtype, first: first / dtype.blockSize, count: count / dtype.blockSize)
      : fillElements(bytes, dtype, first: first, count: count)
  }

  private func fillElements(_ bytes: UnsafeMutableRawBufferPointer, _ dtype: DType, first: Int, count: Int) {
    let noise = Philox(key: seed)
    let step = step
    var words = noise.words(UInt64(first / 4))
    for place in 0..<count {
      let element = first + place
      if element % 4 == 0 { words = noise.words(UInt64(element / 4)) }
      let whole = Int32(words[element % 4] >> 8) - 8_388_608
      let value = mean.addingProduct(Float(whole), step)
      switch dtype {
      case .f16:
        bytes.storeBytes(of: Float16(value).bitPattern, toByteOffset: place * 2, as: UInt16.self)
      case .bf16:
        bytes.storeBytes(of: BFloat16(value).bitPattern, toByteOffset: place * 2, as: UInt16.self)
      default: bytes.storeBytes(of: value, toByteOffset: place * 4, as: Float.self)
      }
    }
  }

  private func fillBlocks(_ bytes: UnsafeMutableRawBufferPointer, _ dtype: DType, first: Int, count: Int) {
    let noise = Philox(key: seed)
    let (offset, values) = header(dtype)
    let size = dtype.blockBytes
    for block in 0..<count {
      let start = block * size
      for part in 0..<((size + 15) / 16) {
        let words = noise.words(UInt64(first + block), UInt64(part))
        // Block sizes are even, so a block is whole pairs of bytes.
        for pair in 0..<min(8, (size - part * 16) / 2) {
          let bits = UInt16(truncatingIfNeeded: words[pair / 2] >> UInt32(pair % 2 * 16))
          bytes.storeBytes(of: bits, toByteOffset: start + part * 16 + pair * 2, as: UInt16.self)
        }
      }
      for (index, value) in values.enumerated() {
        bytes.storeBytes(of: value, toByteOffset: start + offset + index * 2, as: UInt16.self)
      }
    }
  }
}

extension WeightSource {
  /// A weight that is drawn; backends that draw on their device never touch ``bytes``.
  ///
  /// - Throws: `invalidArgument` where rows are not whole blocks of the type.
  public static func random(_ name: String, _ shape: Shape, _ dtype: DType, _ random: RandomWeights) throws
    -> WeightSource
  {
    guard shape.rank > 0, let count = shape.checkedCount, count > 0, dtype != .i32,
      shape[shape.rank - 1] % dtype.blockSize == 0, let byteCount = dtype.byteCount(elements: count)
    else {
      throw RetortError(
        .invalidArgument, "\(name) of shape \(shape) is not whole blocks of \(dtype.rawValue)",
        field: "weight-type",
        remedy: "Rows must be multiples of \(dtype.blockSize): use q8_0, bf16 or f16 for this shape.")
    }
    let memory = DrawnBytes(random, dtype, count: count, byteCount: byteCount)
    var source = WeightSource(
      name: name, dtype: dtype, shape: shape, file: "random weights", bytes: { memory.bytes },
      release: { memory.release() })
    source.random = random
    return source
  }
}

/// Drawn weights in host memory, made when first asked for and kept until they are let go.
private final class DrawnBytes: Sendable {
  private let random: RandomWeights
  private let dtype: DType
  private let count: Int
  private let byteCount: Int
  private let memory = Mutex<Pointer?>(nil)

  private struct Pointer: @unchecked Sendable { let bytes: UnsafeMutableRawBufferPointer }

  init(_ random: RandomWeights, _ dtype: DType, count: Int, byteCount: Int) {
    (self.random, self.dtype, self.count, self.byteCount) = (random, dtype, count, byteCount)
  }

  deinit { release() }

  var bytes: UnsafeRawBufferPointer {
    memory.withLock { memory in
      if let memory { return UnsafeRawBufferPointer(memory.bytes) }
      let made = Pointer(bytes: .allocate(byteCount: byteCount, alignment: 64))
      // Whole blocks of every type, and whole quads of elements.
      let piece = 1 << 16
      DispatchQueue.concurrentPerform(iterations: (count + piece - 1) / piece) { index in
        let first = index * piece
        let start = first / dtype.blockSize * dtype.blockBytes
        random.fill(
          UnsafeMutableRawBufferPointer(rebasing: made.bytes[start...]), dtype: dtype, first: first,
          count: min(piece, count - first))
      }
      memory = made
      return UnsafeRawBufferPointer(made.bytes)
    }
  }

  func release() {
    memory.withLock { memory in
      memory?.bytes.deallocate()
      memory = nil
    }
  }
}
