import Foundation
import Tensors

extension Reference {
  /// `silu(gate) · up`.
  public static func siluMul(gate: [Double], up: [Double]) -> Result {
    let values = zip(gate, up).map { $0 / (1 + exp(-$0)) * $1 }
    return Result(values: values, magnitudes: values.map(\.magnitude))
  }

  /// GELU; magnitudes are |x|, since `1 + erf` cancels for negative x.
  public static func gelu(_ x: [Double], _ form: GELU.Form) -> Result {
    let values = x.map { x in
      switch form {
      case .exact: x / 2 * erfc(-x / 2.0.squareRoot())
      case .tanh: x / 2 * (1 + Foundation.tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
      }
    }
    return Result(values: values, magnitudes: x.map(\.magnitude))
  }

  public static func tanh(_ x: [Double]) -> Result {
    let values = x.map { Foundation.tanh($0) }
    return Result(values: values, magnitudes: values.map(\.magnitude))
  }

  public static func add(_ a: [Double], _ b: [Double]) -> Result {
    let values = zip(a, b).map(+)
    return Result(values: values, magnitudes: values.map(\.magnitude))
  }

  /// Softmax of every row; magnitudes are p · (1 + |x − max|), since rounding x moves the exponent.
  public static func softmax(_ x: [Double], width: Int) -> Result {
    var result = Result(values: [], magnitudes: [])
    for row in 0..<x.count / width {
      let slice = Array(x[(row * width)..<(row * width + width)])
      let highest = slice.max() ?? 0
      let weights = softmax(slice)
      result.values += weights
      result.magnitudes += zip(weights, slice).map { $0 * (1 + min(200, highest - $1)) }
    }
    return result
  }
}
