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

  /// The gradient of ``encoderAttention(_:_:_:heads:scale:causal:_:)``: queries', keys' and values' side by side.
  ///
  /// With p the weights, `ds = p · (do·v − do·o)`; then `dq = scale · Σ ds · k`, `dk = scale · Σ ds · q` and
  /// `dv = Σ p · do`. A slope's magnitude counts the terms of both products, and the score's like
  /// ``attention(_:heads:scale:layer:cache:_:)``.
  public static func encoderAttentionGradient(
    _ gradient: [Double], query: [Double], key: [Double], value: [Double], heads: Int, scale: Double,
    causal: Bool = false, _ batch: PackedBatch
  ) -> Result {
    let (width, keyWidth) = (query.count / max(1, batch.rows), key.count / max(1, batch.rows))
    let (size, joint) = (width / heads, width + 2 * keyWidth)
    var result = Result(count: batch.rows * joint)
    func dot(_ a: [Double], _ x: Int, _ b: [Double], _ y: Int) -> (sum: Double, magnitude: Double) {
      (0..<size).reduce((0, 0)) {
        let term = a[x + $1] * b[y + $1]
        return ($0.0 + term, $0.1 + term.magnitude)
      }
    }
    func add(_ place: Int, _ factor: (value: Double, magnitude: Double), _ x: [Double], _ from: Int) {
      for d in 0..<size {
        result.values[place + d] += factor.value * x[from + d]
        result.magnitudes[place + d] += factor.magnitude * x[from + d].magnitude
      }
    }
    for sequence in 0..<batch.sequences {
      let rows = batch.rows(of: sequence)
      for row in rows {
        for head in 0..<heads {
          let (own, shared) = (row * width + head * size, head * keyWidth / width * size)
          let read = causal ? rows.lowerBound..<row + 1 : rows
          let scores = read.map { dot(query, own, key, $0 * keyWidth + shared) }
          let largest = scores.reduce(0) { max($0, $1.magnitude * scale) }
          let weights = softmax(scores.map { $0.sum * scale })
          let products = read.map { dot(gradient, own, value, $0 * keyWidth + shared) }
          let mean = zip(weights, products).reduce(0) { $0 + $1.0 * $1.1.sum }
          let meanSize = zip(weights, products).reduce(0) { $0 + $1.0 * $1.1.magnitude }
          for (index, other) in read.enumerated() {
            let (weight, source) = (weights[index], other * keyWidth + shared)
            let slope = (
              weight * (products[index].sum - mean) * scale,
              weight * (products[index].magnitude + meanSize) * scale * (1 + largest)
            )
            let place = other * joint + width + shared
            add(row * joint + head * size, slope, key, source)
            add(place, slope, query, own)
            add(place + keyWidth, (weight, weight * (1 + largest)), gradient, own)
          }
        }
      }
    }
    return result
  }

  /// Attention of one query a sequence: the first rows of ``encoderAttention(_:_:_:heads:scale:_:)`` where every
  /// row of a sequence asks its query.
  public static func firstRowAttention(
    _ query: [Double], _ key: [Double], _ value: [Double], heads: Int, scale: Double, _ batch: PackedBatch
  ) -> Result {
    let width = key.count / max(1, batch.rows)
    let spread = (0..<batch.sequences).flatMap { sequence in
      batch.rows(of: sequence).flatMap { _ in query[(sequence * width)..<(sequence * width + width)] }
    }
    let all = encoderAttention(spread, key, value, heads: heads, scale: scale, batch).output
    let columns = batch.starts.dropLast().flatMap { (Int($0) * width)..<(Int($0) * width + width) }
    return Result(values: columns.map { all.values[$0] }, magnitudes: columns.map { all.magnitudes[$0] })
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
