/// How the elements of a tensor are stored.
///
/// Quantised types store a row as blocks of ``blockSize`` consecutive elements in ``blockBytes`` bytes;
/// the layouts are those of GGUF (ggml).
public enum DType: String, Sendable, CaseIterable, Hashable {
  case f32, f16, bf16, i32
  // swift-format-ignore: AlwaysUseLowerCamelCase
  case q4_0, q4_1, q5_0, q5_1, q8_0
  // swift-format-ignore: AlwaysUseLowerCamelCase
  case q4_K, q5_K, q6_K

  /// Elements in one block; 1 for plain types.
  public var blockSize: Int {
    switch self {
    case .f32, .f16, .bf16, .i32: 1
    case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0: 32
    case .q4_K, .q5_K, .q6_K: 256
    }
  }

  /// Bytes of one block.
  public var blockBytes: Int {
    switch self {
    case .f32, .i32: 4
    case .f16, .bf16: 2
    case .q4_0: 18
    case .q4_1: 20
    case .q5_0: 22
    case .q5_1: 24
    case .q8_0: 34
    case .q4_K: 144
    case .q5_K: 176
    case .q6_K: 210
    }
  }

  public var isQuantized: Bool { blockSize > 1 }

  /// Bytes of `count` consecutive elements, or nil where `count` is negative, not a whole number of blocks,
  /// or the product overflows.
  public func byteCount(elements count: Int) -> Int? {
    guard count >= 0, count % blockSize == 0 else { return nil }
    let (bytes, overflow) = (count / blockSize).multipliedReportingOverflow(by: blockBytes)
    return overflow ? nil : bytes
  }
}
