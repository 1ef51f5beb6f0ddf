import Foundation
import Tensors

/// Gradients of the row operations, as their formulas are derived on paper: `g` is the gradient of the result.
extension Reference {
  /// With h = (x − mean) · s, s = 1 / √(variance + ε): dx = s · (g w − mean(g w) − h · mean(g w h)), and the columns'
  /// sums of g h and g.
  public static func layerNormGradient(_ g: [Double], x: [Double], weight: [Double], epsilon: Double)
    -> (x: Result, weight: Result, bias: Result)
  {
    let width = weight.count
    var (dx, dw, db) = (Result(count: x.count), Result(count: width), Result(count: width))
    for start in stride(from: 0, to: x.count, by: width) {
      let row = Array(x[start..<start + width])
      let mean = row.reduce(0, +) / Double(width)
      let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
      let scale = 1 / (variance + epsilon).squareRoot()
      let h = row.map { ($0 - mean) * scale }
      // What h is the difference of.
      let size = row.map { ($0.magnitude + mean.magnitude) * scale }
      let gw = (0..<width).map { g[start + $0] * weight[$0] }
      let along = zip(gw, h).reduce(0) { $0 + $1.0 * $1.1 } / Double(width)
      let one = gw.reduce(0, +) / Double(width)
      let alongSize = zip(gw, size).reduce(0) { $0 + ($1.0 * $1.1).magnitude } / Double(width)
      let oneSize = gw.reduce(0) { $0 + $1.magnitude } / Double(width)
      for i in 0..<width {
        dx.values[start + i] = scale * (gw[i] - one - h[i] * along)
        dx.magnitudes[start + i] = scale * (gw[i].magnitude + oneSize + size[i] * alongSize)
        dw.values[i] += g[start + i] * h[i]
        dw.magnitudes[i] += g[start + i].magnitude * size[i]
        db.values[i] += g[start + i]
        db.magnitudes[i] += g[start + i].magnitude
      }
    }
    return (dx, dw, db)
  }

  /// With s = 1 / √(mean(x²) + ε): dx = s g w − x s³ mean(g w x), and the columns' sums of g x s.
  public static func rmsNormGradient(_ g: [Double], x: [Double], weight: [Double], epsilon: Double)
    -> (x: Result, weight: Result)
  {
    let width = weight.count
    var (dx, dw) = (Result(count: x.count), Result(count: width))
    for start in stride(from: 0, to: x.count, by: width) {
      let row = Array(x[start..<start + width])
      let scale = 1 / (row.reduce(0) { $0 + $1 * $1 } / Double(width) + epsilon).squareRoot()
      let terms = (0..<width).map { g[start + $0] * weight[$0] * row[$0] }
      let along = terms.reduce(0, +) / Double(width) * scale * scale * scale
      let alongSize = terms.reduce(0) { $0 + $1.magnitude } / Double(width) * scale * scale * scale
      for i in 0..<width {
        let direct = g[start + i] * weight[i] * scale
        dx.values[start + i] = direct - row[i] * along
        dx.magnitudes[start + i] = direct.magnitude + row[i].magnitude * alongSize
        dw.values[i] += g[start + i] * row[i] * scale
        dw.magnitudes[i] += (g[start + i] * row[i] * scale).magnitude
      }
    }
    return (dx, dw)
  }

  /// g · (Φ(x) + x φ(x)), or the derivative of the tanh form; magnitudes are |g|, since the factor is at most 1.2.
  public static func geluGradient(_ g: [Double], x: [Double], _ form: GELU.Form) -> Result {
    let slopes = x.map { form == .exact ? exactSlope($0) : tanhSlope($0) }
    return Result(values: zip(g, slopes).map { $0 * $1 }, magnitudes: g.map(\.magnitude))
  }

  private static func exactSlope(_ x: Double) -> Double {
    let width: Double = (2 * Double.pi).squareRoot()
    let bell: Double = exp(-x * x / 2) / width
    let share: Double = erfc(-x / 2.0.squareRoot()) / 2
    return share + x * bell
  }

  private static func tanhSlope(_ x: Double) -> Double {
    let factor: Double = (2 / Double.pi).squareRoot()
    let cube: Double = 0.044715 * x * x * x
    let t: Double = Foundation.tanh(factor * (x + cube))
    let share: Double = (1 + t) / 2
    // 1 − t² is 0 long before its factor overflows.
    guard t.magnitude < 1 else { return share }
    let slope: Double = factor * (1 + 3 * 0.044715 * x * x)
    let bend: Double = (1 - t) * (1 + t)
    return share + x / 2 * slope * bend
  }

  /// With s = σ(gate): g · up · s · (1 + gate · (1 − s)) and g · gate · s.
  public static func siluMulGradient(_ g: [Double], gate: [Double], up: [Double]) -> (
    gate: Result, up: Result
  ) {
    var (first, second) = (Result(count: g.count), Result(count: g.count))
    for i in g.indices {
      let (s, rest) = (1 / (1 + exp(-gate[i])), 1 / (1 + exp(gate[i])))
      first.values[i] = g[i] * up[i] * s * (1 + gate[i] * rest)
      first.magnitudes[i] = (g[i] * up[i]).magnitude * s * (1 + gate[i].magnitude * rest)
      second.values[i] = g[i] * gate[i] * s
      second.magnitudes[i] = second.values[i].magnitude
    }
    return (first, second)
  }

  /// g · (1 − y²).
  public static func tanhGradient(_ g: [Double], y: [Double]) -> Result {
    Result(
      values: zip(g, y).map { $0 * (1 - $1 * $1) },
      magnitudes: zip(g, y).map { ($0 * (1 + $1 * $1)).magnitude })
  }

  /// y · (g − Σ g y), row by row.
  public static func softmaxGradient(_ g: [Double], y: [Double], width: Int) -> Result {
    var result = Result(count: g.count)
    for start in stride(from: 0, to: g.count, by: width) {
      let terms = (start..<start + width).map { g[$0] * y[$0] }
      let (along, size) = (terms.reduce(0, +), terms.reduce(0) { $0 + $1.magnitude })
      for i in start..<start + width {
        result.values[i] = y[i] * (g[i] - along)
        result.magnitudes[i] = y[i].magnitude * (g[i].magnitude + size)
      }
    }
    return result
  }

  /// (g − y (g·y)) / ‖x‖ with y = x / ‖x‖, or g / ε where the row is no longer than ε.
  public static func l2NormalizeGradient(_ g: [Double], x: [Double], width: Int, epsilon: Double) -> Result {
    var result = Result(count: g.count)
    for start in stride(from: 0, to: g.count, by: width) {
      let rows = start..<start + width
      let norm = rows.reduce(0) { $0 + x[$1] * x[$1] }.squareRoot()
      let terms = rows.map { g[$0] * x[$0] / norm }
      let (along, size) = (terms.reduce(0, +), terms.reduce(0) { $0 + $1.magnitude })
      for i in rows {
        if norm <= epsilon {
          result.values[i] = g[i] / epsilon
          result.magnitudes[i] = result.values[i].magnitude
        } else {
          result.values[i] = (g[i] - x[i] / norm * along) / norm
          result.magnitudes[i] = (g[i].magnitude + x[i].magnitude / norm * size) / norm
        }
      }
    }
    return result
  }

  /// A sequence's gradient shared out evenly among its rows.
  public static func meanPoolGradient(_ g: [Double], width: Int, _ batch: PackedBatch) -> Result {
    let values = (0..<batch.sequences).flatMap { sequence in
      batch.rows(of: sequence).flatMap { _ in
        g[(sequence * width)..<(sequence * width + width)].map { $0 / Double(batch.rows(of: sequence).count) }
      }
    }
    return Result(values: values, magnitudes: values.map(\.magnitude))
  }
}
