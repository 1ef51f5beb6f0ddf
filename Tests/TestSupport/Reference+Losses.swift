import Foundation

/// Losses and the ordinal head, by their formulas.
extension Reference {
  private static func logSigmoid(_ z: Double) -> Double { min(z, 0) - log1p(exp(-z.magnitude)) }
  private static func sigmoid(_ z: Double) -> Double { 1 / (1 + exp(-z)) }

  /// `w T² Σ t (ln t − ln p)` of every row with p = softmax(z / T), and `w T (p Σ t − t)`.
  public static func softmaxDivergence(
    _ logits: [Double], targets: [Double], weights: [Double], temperature: Double
  ) -> (losses: Result, gradient: Result) {
    let classes = logits.count / max(1, weights.count)
    var (losses, gradient) = (Result(count: weights.count), Result(count: logits.count))
    for row in weights.indices {
      let places = row * classes..<(row + 1) * classes
      let scaled = places.map { logits[$0] / temperature }
      let highest = scaled.max() ?? 0
      let sum = log(scaled.reduce(0) { $0 + exp($1 - highest) })
      let mass = targets[places].reduce(0, +)
      let factor = weights[row].magnitude * temperature
      for (i, place) in places.enumerated() {
        let (t, logP) = (targets[place], scaled[i] - highest - sum)
        if t > 0 {
          losses.values[row] += weights[row] * temperature * temperature * t * (log(t) - logP)
          losses.magnitudes[row] +=
            factor * temperature * t * (log(t).magnitude + highest - scaled[i] + sum + 1)
        }
        gradient.values[place] = weights[row] * temperature * (mass * exp(logP) - t)
        // Rounding z moves the exponent, beyond 200 of nothing.
        gradient.magnitudes[place] = factor * (mass * exp(logP) * (1 + min(200, highest - scaled[i])) + t)
      }
    }
    return (losses, gradient)
  }

  /// `Σ w (−t ln σ(z) − (1 − t) ln(1 − σ(z)))` of every row, and `w (σ(z) − t)`.
  public static func sigmoidCrossEntropy(_ logits: [Double], targets: [Double], weights: [Double], width: Int)
    -> (losses: Result, gradient: Result)
  {
    var (losses, gradient) = (Result(count: logits.count / width), Result(count: logits.count))
    for (place, z) in logits.enumerated() {
      let (t, w) = (targets[place], weights[place])
      losses.values[place / width] -= w * (t * logSigmoid(z) + (1 - t) * logSigmoid(-z))
      losses.magnitudes[place / width] += w.magnitude * (z.magnitude + 1)
      gradient.values[place] = w * (sigmoid(z) - t)
      gradient.magnitudes[place] = w.magnitude * (sigmoid(z) + t)
    }
    return (losses, gradient)
  }

  /// The probability whose logarithm this is.
  public static func probability(_ logarithm: Double) -> Double { exp(logarithm) }

  /// α and the thresholds of `[ln α, θ₀, ln(θ₁ − θ₀), …]`.
  private static func ordinalHead(_ parameters: [Double]) -> (slope: Double, thresholds: [Double]) {
    var thresholds = [parameters[1]]
    for gap in parameters.dropFirst(2) { thresholds.append(thresholds[thresholds.count - 1] + exp(gap)) }
    return (exp(parameters[0]), thresholds)
  }

  /// ln P(y = k) with P(y > k) = σ(α (x − θ[k])): `[rows]` to `[rows, K]`.
  ///
  /// Magnitudes are 1 and the size of z = α (x − θ): a rounding of z moves the logarithm as far.
  public static func ordinalLogits(_ x: [Double], parameters: [Double]) -> Result {
    let (slope, thresholds) = ordinalHead(parameters)
    let classes = thresholds.count + 1
    var result = Result(count: x.count * classes)
    for (row, x) in x.enumerated() {
      for k in 0..<classes {
        var (value, size) = (0.0, 1.0)
        // ln(σ(a) − σ(b)) = ln σ(a) + ln σ(−b) + ln(1 − e^(b − a)).
        if k > 0 {
          value += logSigmoid(slope * (x - thresholds[k - 1]))
          size += slope * (x.magnitude + thresholds[k - 1].magnitude)
        }
        if k < classes - 1 {
          value += logSigmoid(-slope * (x - thresholds[k]))
          size += slope * (x.magnitude + thresholds[k].magnitude)
        }
        if k > 0, k < classes - 1 {
          let between = log(-expm1(-slope * exp(parameters[k + 1])))
          value += between
          size += between.magnitude
        }
        result.values[row * classes + k] = value
        result.magnitudes[row * classes + k] = size
      }
    }
    return result
  }

  /// The chain rule through σ(α (x − θ[k])), written out for each class; `sum` is what the parameters' begin with.
  public static func ordinalLogitsGradient(_ g: [Double], x: [Double], parameters: [Double], sum: [Double])
    -> (x: Result, parameters: Result)
  {
    let (slope, thresholds) = ordinalHead(parameters)
    let classes = thresholds.count + 1
    var dx = Result(count: x.count)
    var dp = Result(values: sum, magnitudes: sum.map(\.magnitude))
    func add(_ parameter: Int, _ term: Double, size: Double) {
      dp.values[parameter] += term
      dp.magnitudes[parameter] += size
    }
    for (row, x) in x.enumerated() {
      for k in 0..<classes {
        let upstream = g[row * classes + k]
        // The borders below and above class k: d ln σ(z) / dz = σ(−z), d ln σ(−z) / dz = −σ(z).
        for (border, sign) in [(k - 1, 1.0), (k, -1.0)] where border >= 0 && border < classes - 1 {
          let z = slope * (x - thresholds[border])
          let term = upstream * sign * sigmoid(-sign * z)
          let size = term.magnitude * (1 + min(80, slope * (x.magnitude + thresholds[border].magnitude)))
          dx.values[row] += term * slope
          dx.magnitudes[row] += size * slope
          add(0, term * z, size: size * slope * (x.magnitude + thresholds[border].magnitude))
          add(1, -term * slope, size: size * slope)
          for gap in 0..<border {
            let width = exp(parameters[gap + 2])
            add(gap + 2, -term * slope * width, size: size * slope * width)
          }
        }
        if k > 0, k < classes - 1 {
          // d ln(1 − e^−m) / d ln m with m = α · gap.
          let m = slope * exp(parameters[k + 1])
          let term = upstream * m / expm1(m)
          add(0, term, size: term.magnitude * (1 + m))
          add(k + 1, term, size: term.magnitude * (1 + m))
        }
      }
    }
    return (dx, dp)
  }
}
