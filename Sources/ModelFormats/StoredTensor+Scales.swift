import Basics

extension StoredTensor {
  /// Checks the scales (and minima) of every quantised block; plain types have none and pass.
  ///
  /// It reads two to four bytes a block, far less than the weights themselves, so that a damaged scale is
  /// reported when the model is loaded and not as a NaN in the answers.
  ///
  /// - Throws: `malformedFile` naming the tensor and the first block whose scale is infinite or not a number.
  public func validateFiniteScales() throws {
    let fields = dtype.scaleOffsets
    guard let first = fields.first, let last = fields.last else { return }
    let bytes = bytes()
    let size = dtype.blockBytes
    guard let block = StoredTensor.firstNonFinite(bytes, blockBytes: size, first, last) else { return }
    throw RetortError(
      .malformedFile, "the scale of a \(dtype.rawValue) block is not a finite number", file: file,
      field: name,
      position: "block \(block)", remedy: RetortError.fetchAgain)
  }

  /// The first block with a half-precision number at byte `first` or `last` whose exponent bits are all set.
  private static func firstNonFinite(
    _ bytes: UnsafeRawBufferPointer, blockBytes: Int, _ first: Int, _ last: Int
  ) -> Int? {
    guard let base = bytes.baseAddress else { return nil }
    let exponent: UInt16 = 0x7C00
    for block in 0..<(bytes.count / blockBytes) {
      let start = base + block &* blockBytes
      let one = UInt16(littleEndian: start.loadUnaligned(fromByteOffset: first, as: UInt16.self))
      let other = UInt16(littleEndian: start.loadUnaligned(fromByteOffset: last, as: UInt16.self))
      if one & exponent == exponent || other & exponent == exponent { return block }
    }
    return nil
  }
}

extension DType {
  /// Where the half-precision scale and minimum of a block lie, in bytes from its start; empty for plain types.
  fileprivate var scaleOffsets: [Int] {
    switch self {
    case .f32, .f16, .bf16, .i32: []
    case .q4_0, .q5_0, .q8_0: [0]
    case .q4_1, .q5_1, .q4_K, .q5_K: [0, 2]
    case .q6_K: [208]
    }
  }
}
