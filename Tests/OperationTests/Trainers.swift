import Basics
import CPUBackend
import OpenCLBackend
import OpenCLRuntime
import Tensors
import TestSupport
import Testing

extension BackendUnderTest {
  /// All backends train.
  static let trainers: [BackendUnderTest] = all

  /// The backend as one that trains; throws, so that the test fails, where it does not.
  var trainer: any TrainingBackend {
    get throws { try #require(try backend as? any TrainingBackend, "\(testDescription) does not train") }
  }
}

extension Backend {
  /// Uploads rows of `width`, as columns between NaN where `view` says so.
  func operand(_ values: [Float], _ width: Int, view: Bool) throws -> Tensor {
    try view ? columns(values, width, before: 3, after: 2) : matrix(values, width)
  }

  /// Uploads a vector in the middle of NaN.
  func sum(_ values: [Float]) throws -> Tensor {
    try vector([.nan, .nan] + values + [.nan]).columns(2..<2 + values.count)
  }
}

/// A batch of sequences of these lengths.
func packedBatch(_ lengths: [Int]) throws -> PackedBatch {
  try PackedBatch(tokenIDs: lengths.map { [Int32](repeating: 1, count: $0) })
}

extension Reference.Result {
  /// The sum with what it was added to.
  func added(to sum: [Float]) -> Reference.Result {
    Reference.Result(
      values: zip(values, sum).map { $0 + Double($1) },
      magnitudes: zip(magnitudes, sum).map { $0 + Double($1.magnitude) })
  }
}
