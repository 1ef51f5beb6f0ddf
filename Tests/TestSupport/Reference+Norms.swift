import Foundation

extension Reference {
  /// `x / √(mean(x²) + ε) · weight`, row by row.
  public static func rmsNorm(_ x: [Double], weight: [Double], epsilon: Double) -> Result {
    let width = weight.count
    var values: [Double] = []
    for row in 0..<x.count / width {
      let slice = x[(row * width)..<(row * width + width)]
      let inverse = 1 / (slice.reduce(0) { $0 + $1 * $1 } / Double(width) + epsilon).squareRoot()
      values += zip(slice, weight).map { $0 * inverse * $1 }
    }
    return Result(values: values, magnitudes: values.map(\.magnitude))
  }

  /// `(x − mean) / √(variance + ε) · weight + bias`, row by row.
  public static func layerNorm(_ x: [Double], weight: [Double], bias: [Double], epsilon: Double) -> Result {
    let width = weight.count
    var result = Result(values: [], magnitudes: [])
    for row in 0..<x.count / width {
      let slice = Array(x[(row * width)..<(row * width + width)])
      let mean = slice.reduce(0, +) / Double(width)
      let variance = slice.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
      let inverse = 1 / (variance + epsilon).squareRoot()
      for i in 0..<width {
        result.values.append((slice[i] - mean) * inverse * weight[i] + bias[i])
        let size = (slice[i].magnitude + mean.magnitude) * inverse * weight[i].magnitude
        result.magnitudes.append(size + bias[i].magnitude)
      }
    }
    return result
  }
}
