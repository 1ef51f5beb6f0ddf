import Basics
import Foundation
import Tensors

/// What only training needs, besides the row operations' gradients.
extension Reference {
  /// Sums that begin with what is there.
  private static func begun(_ sum: [Double]) -> Result {
    Result(values: sum, magnitudes: sum.map(\.magnitude))
  }

  /// `[m, k] · [k, n] + bias + sum` with element (i, l) of the left and (l, j) of the right operand given by functions.
  public static func product(
    _ m: Int, _ k: Int, _ n: Int, bias: [Double]?, sum: [Double]?, left: (Int, Int) -> Double,
    right: (Int, Int) -> Double
  ) -> Result {
    var result = begun(sum ?? [Double](repeating: 0, count: m * n))
    for i in 0..<m {
      for j in 0..<n {
        let place = i * n + j
        for l in 0..<k {
          let term = left(i, l) * right(l, j)
          result.values[place] += term
          result.magnitudes[place] += term.magnitude
        }
        result.values[place] += bias?[j] ?? 0
        result.magnitudes[place] += bias?[j].magnitude ?? 0
      }
    }
    return result
  }

  /// `sum[j] + Σᵢ x[i, j]`.
  public static func columnSums(_ x: [Double], sum: [Double]) -> Result {
    var result = begun(sum)
    for (place, value) in x.enumerated() {
      result.values[place % sum.count] += value
      result.magnitudes[place % sum.count] += value.magnitude
    }
    return result
  }

  /// `sum` with `g[i]` added to row `indices[i]`.
  public static func scatterAddRows(_ g: [Double], _ indices: [Int32], width: Int, sum: [Double]) -> Result {
    var result = begun(sum)
    for (row, index) in indices.enumerated() {
      for c in 0..<width {
        result.values[Int(index) * width + c] += g[row * width + c]
        result.magnitudes[Int(index) * width + c] += g[row * width + c].magnitude
      }
    }
    return result
  }

  /// The 16 random bits of every element of `[rows, width]`, one Philox call each.
  public static func dropoutWords(rows: Int, width: Int, key: UInt64, stream: UInt64) -> [UInt32] {
    let philox = Philox(key: key)
    return (0..<rows).flatMap { row in
      (0..<width).map { column in
        let words = philox.words(UInt64(row * ((width + 127) / 128) * 16 + column / 8), stream)
        return words[column % 8 / 2] >> UInt32(column % 2 * 16) & 0xffff
      }
    }
  }

  /// Elements whose bits are below rate · 2¹⁶ are cleared, the others divided by 1 − rate.
  public static func dropout(_ x: [Double], words: [UInt32], rate: Double) -> Result {
    let values = zip(x, words).map { Double($1) < (rate * 0x1p16).rounded() ? 0 : $0 / (1 - rate) }
    return Result(values: values, magnitudes: values.map(\.magnitude))
  }

  /// Dot products of groups: `[rows, groups · d]` twice to `[rows, groups]`.
  public static func rowDots(_ a: [Double], _ b: [Double], groupWidth: Int) -> Result {
    var result = Result(count: a.count / groupWidth)
    for i in a.indices {
      result.values[i / groupWidth] += a[i] * b[i]
      result.magnitudes[i / groupWidth] += (a[i] * b[i]).magnitude
    }
    return result
  }

  /// Groups of `d` elements, each times its factor.
  public static func scaleGroups(_ x: [Double], by factors: [Double]) -> Result {
    let groupWidth = x.count / max(1, factors.count)
    let values = x.indices.map { x[$0] * factors[$0 / groupWidth] }
    return Result(values: values, magnitudes: values.map(\.magnitude))
  }

  /// `x[i, j] · factors[j] + bias[j]`.
  public static func scaleColumns(_ x: [Double], by factors: [Double], bias: [Double]?) -> Result {
    var result = Result(count: x.count)
    for i in x.indices {
      let (term, shift) = (x[i] * factors[i % factors.count], bias?[i % factors.count] ?? 0)
      result.values[i] = term + shift
      result.magnitudes[i] = term.magnitude + shift.magnitude
    }
    return result
  }

  /// Rotation of packed rows at their positions, or back.
  public static func rope(_ x: [Double], width: Int, _ spec: RoPE, inverse: Bool, positions: [Int32])
    -> Result
  {
    // Turning back is turning by the opposite angle: at the positions' negatives.
    rope(x, width: width, spec, positions: inverse ? positions.map { -$0 } : positions)
  }

  /// One step of AdamW by the paper's words (algorithm 2, with the learning rate on the decay).
  ///
  /// The magnitude of the update is what it would be if neither the first moment nor the parameter cancelled.
  public static func adamW(
    _ parameter: [Double], gradient: [Double], firstMoment: [Double], secondMoment: [Double],
    _ step: AdamWStep
  ) -> (parameter: Result, firstMoment: Result, secondMoment: Result) {
    let (beta1, beta2) = (Double(step.beta1), Double(step.beta2))
    let rate = Double(step.learningRate)
    var (p, m, v) = (
      Result(count: parameter.count), Result(count: parameter.count), Result(count: parameter.count)
    )
    for i in parameter.indices {
      let g = gradient[i] * Double(step.gradientScale)
      m.values[i] = beta1 * firstMoment[i] + (1 - beta1) * g
      m.magnitudes[i] = firstMoment[i].magnitude + g.magnitude
      v.values[i] = beta2 * secondMoment[i] + (1 - beta2) * g * g
      v.magnitudes[i] = v.values[i]
      let root = (v.values[i] / Double(step.secondCorrection)).squareRoot() + Double(step.epsilon)
      let update = rate / Double(step.firstCorrection) / root
      p.values[i] = parameter[i] * (1 - rate * Double(step.weightDecay)) - update * m.values[i]
      p.magnitudes[i] = parameter[i].magnitude + update * m.magnitudes[i]
    }
    return (p, m, v)
  }
}
