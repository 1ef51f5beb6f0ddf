import Basics
import CKernels
import Tensors

extension DType {
  /// The C kernels' name of a stored type; nil for integers.
  var kernelType: rk_type? {
    switch self {
    case .f32: RK_F32
    case .f16: RK_F16
    case .bf16: RK_BF16
    case .q4_0: RK_Q4_0
    case .q4_1: RK_Q4_1
    case .q5_0: RK_Q5_0
    case .q5_1: RK_Q5_1
    case .q8_0: RK_Q8_0
    case .q4_K: RK_Q4_K
    case .q5_K: RK_Q5_K
    case .q6_K: RK_Q6_K
    case .i32: nil
    }
  }
}

/// A source whose type, shape and byte count have been checked against each other.
struct CheckedSource {
  let source: WeightSource
  let type: rk_type
  let rows: Int
  let width: Int
  let rowBytes: Int

  init(_ source: WeightSource) throws {
    self.source = source
    let rank = source.shape.rank
    guard let type = source.dtype.kernelType, rank == 1 || rank == 2, source.shape.checkedCount != nil else {
      throw CheckedSource.error(source, "a weight of type \(source.dtype.rawValue) and shape \(source.shape)")
    }
    self.type = type
    rows = rank == 2 ? source.shape[0] : 1
    width = source.shape[rank - 1]
    guard rows > 0, width > 0, let rowBytes = source.dtype.byteCount(elements: width) else {
      throw CheckedSource.error(source, "rows of \(width) are not whole blocks of \(source.dtype.rawValue)")
    }
    self.rowBytes = rowBytes
    let (needed, overflow) = rowBytes.multipliedReportingOverflow(by: rows)
    guard !overflow, source.bytes().count == needed else {
      throw CheckedSource.error(source, "\(source.bytes().count) bytes for shape \(source.shape)")
    }
  }

  /// The first byte of a row.
  func row(_ index: Int) -> UnsafePointer<UInt8> {
    // The byte count was checked to be positive, so there is a base address.
    let base = source.bytes().baseAddress ?? UnsafeRawPointer(bitPattern: 1).unsafelyUnwrapped
    return base.assumingMemoryBound(to: UInt8.self) + index * rowBytes
  }

  static func error(_ source: WeightSource, _ message: String) -> RetortError {
    RetortError(
      .malformedFile, message, file: source.file, field: source.name,
      remedy: "The file is damaged or was converted wrongly; fetch or convert it again.")
  }
}
