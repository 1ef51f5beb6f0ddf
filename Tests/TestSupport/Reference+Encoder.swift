import Foundation
import Tensors

extension Reference {
  /// Attention within each sequence, where `causal` of rows up to a row's own, and `ln Σ exp(scale · q·k)` of every
  /// row and head; the key's width gives the number of key heads.
  ///
  /// Magnitudes as in ``attention(_:heads:scale:layer:cache:_:)``; a sum's is its largest score's.
  public static func encoderAttention(
    _ query: [Double], _ key: [Double], _ value: [Double], heads: Int, scale: Double,
    causal: Bool = false, _ batch: PackedBatch
  ) -> (output: Result, logSumExp: Result) {
    let (width, keyWidth) = (query.count / max(1, batch.rows), key.count / max(1, batch.rows))
    let size = width / heads
    var (output, sums) = (Result(count: query.count), Result(count: batch.rows * heads))
    for sequence in 0..<batch.sequences {
      let rows = batch.rows(of: sequence)
      for row in rows {
        for head in 0..<heads {
          let column = head * size
          let shared = head * keyWidth / width * size
          let read = causal ? rows.lowerBound..<row + 1 : rows
          var (scores, largest) = ([Double](), 0.0)
          for other in read {
            let terms = (0..<size).map {
              query[row * width + column + $0] * key[other * keyWidth + shared + $0]
            }
            scores.append(terms.reduce(0, +) * scale)
            largest = max(largest, terms.reduce(0) { $0 + $1.magnitude } * scale)
          }
          let highest = scores.max() ?? 0
          sums.values[row * heads + head] = highest + log(scores.reduce(0) { $0 + exp($1 - highest) })
          sums.magnitudes[row * heads + head] = 1 + largest
          for (weight, other) in zip(softmax(scores), read) {
            for d in 0..<size {
              let term = weight * value[other * keyWidth + shared + d]
              output.values[row * width + column + d] += term
              output.magnitudes[row * width + column + d] += term.magnitude * (1 + largest)
            }
          }
        }
      }
    }
    return (output, sums)
  }

  /// The mean of each sequence's rows; magnitudes are the means of the absolute values.
  public static func meanPool(_ x: [Double], width: Int, _ batch: PackedBatch) -> Result {
    var result = Result(count: batch.sequences * width)
    for sequence in 0..<batch.sequences {
      let rows = batch.rows(of: sequence)
      for row in rows {
        for c in 0..<width {
          result.values[sequence * width + c] += x[row * width + c] / Double(rows.count)
          result.magnitudes[sequence * width + c] += x[row * width + c].magnitude / Double(rows.count)
        }
      }
    }
    return result
  }

  /// `x / max(‖x‖, ε)`, row by row.
  public static func l2Normalize(_ x: [Double], width: Int, epsilon: Double) -> Result {
    var values: [Double] = []
    for row in 0..<x.count / width {
      let slice = x[(row * width)..<(row * width + width)]
      let norm = max(slice.reduce(0) { $0 + $1 * $1 }.squareRoot(), epsilon)
      values += slice.map { $0 / norm }
    }
    return Result(values: values, magnitudes: values.map(\.magnitude))
  }
}
