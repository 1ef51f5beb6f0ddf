import Basics
import CKernels
import Foundation
import Tensors

/// Losses and the ordinal head: a few numbers a row, in Double.
extension CPUBackend {
  public func softmaxDivergence(
    _ logits: Tensor, targets: Tensor, weights: Tensor, temperature: Float
  ) throws -> LossResult {
    let operation = try SoftmaxDivergence(
      logits.shape, targets: targets.shape, weights: weights.shape, temperature: temperature)
    let losses = try allocate([logits.rows], .f32)
    let gradient = try allocate(logits.shape, .f32)
    let (z, t, w) = (try floats(logits), try floats(targets), try floats(weights))
    let (loss, target) = (try floats(losses), try floats(gradient))
    measured(operation) {
      forRows(logits) { row in
        loss[row] = rk_softmax_divergence(
          z + row * logits.rowStride, t + row * targets.rowStride, w[row], temperature,
          target + row * logits.width, Int32(logits.width))
      }
    }
    return LossResult(losses: losses, gradient: gradient)
  }

  public func sigmoidCrossEntropy(_ logits: Tensor, targets: Tensor, weights: Tensor) throws -> LossResult {
    let operation = try SigmoidCrossEntropy(
      logits.shape, targets: targets.shape, weights: weights.shape)
    let losses = try allocate([logits.rows], .f32)
    let gradient = try allocate(logits.shape, .f32)
    let (z, t, w) = (try floats(logits), try floats(targets), try floats(weights))
    let (loss, target) = (try floats(losses), try floats(gradient))
    measured(operation) {
      forRows(logits) { row in
        loss[row] = rk_sigmoid_cross_entropy(
          z + row * logits.rowStride, t + row * targets.rowStride, w + row * weights.rowStride,
          target + row * logits.width, Int32(logits.width))
      }
    }
    return LossResult(losses: losses, gradient: gradient)
  }

  public func ordinalLogits(_ x: Tensor, parameters: Tensor) throws -> Tensor {
    let operation = try OrdinalLogits(x.shape, parameters: parameters.shape)
    let y = try allocate(operation.outputShape, .f32)
    let head = OrdinalHead(try read(parameters))
    let (source, target) = (try floats(x), try floats(y))
    measured(operation) {
      for row in 0..<x.rows {
        for label in 0..<head.classes {
          target[row * head.classes + label] = Float(
            head.logProbability(label, Double(source[row * x.rowStride])))
        }
      }
    }
    return y
  }

  public func ordinalLogitsGradient(_ g: Tensor, x: Tensor, parameters: Tensor, sum: Tensor) throws -> Tensor
  {
    let operation = try OrdinalLogitsGradient(
      g.shape, x: x.shape, parameters: parameters.shape, sum: sum.shape)
    let y = try allocate(operation.outputShape, .f32)
    let head = OrdinalHead(try read(parameters))
    let (source, input, target, sums) = (try floats(g), try floats(x), try floats(y), try floats(sum))
    measured(operation) {
      var total = [Double](repeating: 0, count: head.classes)
      for row in 0..<x.rows {
        target[row] = Float(
          head.addGradient(source + row * g.rowStride, Double(input[row * x.rowStride]), to: &total))
      }
      for (index, value) in total.enumerated() { sums[index] += Float(value) }
    }
    return y
  }
}

/// The cumulative link model of ``OrdinalLogits`` on one row.
private struct OrdinalHead {
  let slope: Double
  let gaps: [Double]
  let thresholds: [Double]

  var classes: Int { thresholds.count + 1 }

  init(_ parameters: [Float]) {
    slope = exp(Double(parameters[0]))
    gaps = parameters.dropFirst(2).map { exp(Double($0)) }
    thresholds = gaps.reduce(into: [Double(parameters[1])]) { $0.append(($0.last ?? 0) + $1) }
  }

  static func logSigmoid(_ z: Double) -> Double { min(z, 0) - log1p(exp(-abs(z))) }

  func logProbability(_ label: Int, _ x: Double) -> Double {
    var result = 0.0
    if label > 0 { result += Self.logSigmoid(slope * (x - thresholds[label - 1])) }
    if label < classes - 1 { result += Self.logSigmoid(-slope * (x - thresholds[label])) }
    if label > 0, label < classes - 1 { result += log(-expm1(-slope * gaps[label - 1])) }
    return result
  }

  /// Adds the parameters' gradients to `total` and returns that of `x`.
  func addGradient(_ g: UnsafeMutablePointer<Float>, _ x: Double, to total: inout [Double]) -> Double {
    var sum = 0.0
    // What the thresholds above a gap hand down to it.
    var above = 0.0
    for border in (0..<classes - 1).reversed() {
      let z = slope * (x - thresholds[border])
      let gradient = Double(g[border + 1]) / (1 + exp(z)) - Double(g[border]) / (1 + exp(-z))
      sum += gradient
      // ln α enters z as a factor.
      total[0] += gradient * z
      above -= gradient * slope
      if border > 0 {
        let m = slope * gaps[border - 1]
        // A gap may be too small for exp; the quotient's limit is 1.
        let apart = Double(g[border]) * (m > 0 ? m / expm1(m) : 1)
        total[0] += apart
        total[border + 1] += apart + above * gaps[border - 1]
      } else {
        total[1] += above
      }
    }
    return sum * slope
  }
}
