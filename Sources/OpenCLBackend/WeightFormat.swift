// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Basics

/// How elements of a weight lie in device memory; raw values are the kernels' FORMAT numbers.
enum WeightFormat: Int, Sendable, Hashable, CaseIterable {
  case f32 = 0
  case f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0, q4_K, q5_K, q6_K
  /// Int8 with a Float32 scale for every 64 inputs of an output: matrices that mode `int8` requantised, no file's.
  case int8

  /// - Throws: `unsupported` for types that are no weights.
  init(_ dtype: DType, name: String) throws {
    switch dtype {
    case .f32: self = .f32
    case .f16: self = .f16
    case .bf16: self = .bf16
    case .q4_0: self = .q4_0
    case .q4_1: self = .q4_1
    case .q5_0: self = .q5_0
    case .q5_1: self = .q5_1
    case .q8_0: self = .q8_0
    case .q4_K: self = .q4_K
    case .q5_K: self = .q5_K
    case .q6_K: self = .q6_K
    case .i32:
      throw RetortError(
        .unsupported, "weights of type i32", field: name, remedy: "Convert the model to a floating type.")
    }
  }

  var options: KernelOptions { Self.options[rawValue] }
  private static let options: [KernelOptions] = allCases.map { "-DFORMAT=\($0.rawValue) " }

  /// Elements of a row that one packing item takes.
  var blockElements: Int {
    switch self {
    case .f32, .f16, .bf16: 1
    case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0: 32
    case .q4_K, .q5_K, .q6_K: 256
    case .int8: 64
    }
  }

  var isQuantized: Bool { blockElements > 1 }

  /// Bytes of 32 columns of `k` elements in panels (panel_formats.opencl).
  func panelBytes(_ k: Int) -> Int {
    switch self {
    case .f32: k * 128
    case .f16, .bf16: k * 64
    case .q4_0: k / 32 * 576
    case .q4_1: k / 32 * 640
    case .q5_0: k / 32 * 704
    case .q5_1: k / 32 * 768
    case .q8_0: k / 32 * 1088
    case .q4_K: k / 256 * 4736
    case .q5_K: k / 256 * 5760
    case .q6_K: k / 256 * 6720
    case .int8: (k + 63) / 64 * 2176
    }
  }
}
