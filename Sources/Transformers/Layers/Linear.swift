import Basics
import Tensors

/// `y = x Wᵀ + bias`, one or several stored matrices stacked along the output.
public struct Linear: Sendable {
  let weight: any MatrixWeight
  let bias: Tensor?

  func callAsFunction(_ x: Tensor, _ backend: any Backend) throws -> Tensor {
    try backend.matmul(x, weight, bias: bias)
  }
}

/// Root-mean-square norm with its weight.
public struct RMSNormLayer: Sendable {
  let weight: Tensor
  let epsilon: Float

  func callAsFunction(_ x: Tensor, _ backend: any Backend) throws -> Tensor {
    try backend.rmsNorm(x, weight: weight, epsilon: epsilon)
  }
  /// `a + b` and its norm.
  func callAsFunction(adding a: Tensor, _ b: Tensor, _ backend: any Backend) throws -> (
    sum: Tensor, normed: Tensor
  ) {
    try backend.addRMSNorm(a, b, weight: weight, epsilon: epsilon)
  }
}
