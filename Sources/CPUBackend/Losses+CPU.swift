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

  public func ordinalLogits(_ x: Tensor, slope: Tensor, thresholds: Tensor) throws -> Tensor {
    let operation = try OrdinalLogits(x.shape, slope: slope.shape, thresholds: thresholds.shape)
    let y = try allocate(operation.outputShape, .f32)
    let head = OrdinalHead(slope: try floats(slope), thresholds: try floats(thresholds), operation.classes)
    let (source, target) = (try floats(x), try floats(y))
    measured(operation) {
      for row in 0..<x.rows {
        for label in 0..<head.classes {
          target[row * head.classes + label] = Float(head.logProbability(label, source[row * x.rowStride]))
        }
      }
    }
    return y
  }

  public func ordinalLogitsGradient(
    _ g: Tensor, x: Tensor, slope: Tensor, thresholds: Tensor, slopeSum: Tensor, thresholdsSum: Tensor
  ) throws -> Tensor {
    let operation = try OrdinalLogits(x.shape, slope: slope.shape, thresholds: thresholds.shape)
    guard g.shape == operation.outputShape, slopeSum.shape == slope.shape,
      thresholdsSum.shape == thresholds.shape
    else {
      throw RetortError(
        .shapeMismatch, "ordinal_logits_gradient: \(g.shape) into \(slopeSum.shape), \(thresholdsSum.shape)",
        remedy: "Give the gradient of the result, and sums of the parameters' shapes.")
    }
    let y = try allocate(x.shape, .f32)
    let head = OrdinalHead(slope: try floats(slope), thresholds: try floats(thresholds), operation.classes)
    let (source, input, target) = (try floats(g), try floats(x), try floats(y))
    var slopeTotal = 0.0
    var thresholdTotals = [Double](repeating: 0, count: head.classes - 1)
    for row in 0..<x.rows {
      let value = input[row * x.rowStride]
      let borders = head.borderGradients(source + row * g.rowStride, value)
      // Border k is at slope · (x − thresholds[k]).
      for (border, gradient) in borders.enumerated() {
        slopeTotal += gradient * (Double(value) - Double(head.thresholds[border]))
        thresholdTotals[border] -= gradient * Double(head.slope[0])
      }
      target[row] = Float(borders.reduce(0, +) * Double(head.slope[0]))
    }
    try floats(slopeSum)[0] += Float(slopeTotal)
    let sums = try floats(thresholdsSum)
    for (index, total) in thresholdTotals.enumerated() { sums[index] += Float(total) }
    return y
  }
}

/// The cumulative link model of ``OrdinalLogits`` on one row.
private struct OrdinalHead {
  let slope: UnsafeMutablePointer<Float>
  let thresholds: UnsafeMutablePointer<Float>
  let classes: Int

  init(slope: UnsafeMutablePointer<Float>, thresholds: UnsafeMutablePointer<Float>, _ classes: Int) {
    self.slope = slope
    self.thresholds = thresholds
    self.classes = classes
  }

  /// `slope · (x − thresholds[k])`.
  func border(_ k: Int, _ x: Float) -> Double { Double(slope[0]) * (Double(x) - Double(thresholds[k])) }

  static func logSigmoid(_ z: Double) -> Double { min(z, 0) - log1p(exp(-abs(z))) }

  func logProbability(_ label: Int, _ x: Float) -> Double {
    var result = 0.0
    if label > 0 { result += Self.logSigmoid(border(label - 1, x)) }
    if label < classes - 1 { result += Self.logSigmoid(-border(label, x)) }
    if label > 0, label < classes - 1 {
      result += log(-expm1(border(label, x) - border(label - 1, x)))
    }
    return result
  }

  /// The gradients of the borders from those of the log-probabilities.
  func borderGradients(_ g: UnsafeMutablePointer<Float>, _ x: Float) -> [Double] {
    var gradients = [Double](repeating: 0, count: classes - 1)
    for label in 0..<classes {
      let gradient = Double(g[label])
      let below = label > 0 ? border(label - 1, x) : .infinity
      let above = label < classes - 1 ? border(label, x) : -.infinity
      let apart = label > 0 && label < classes - 1 ? 1 / expm1(below - above) : 0
      if label > 0 { gradients[label - 1] += gradient * (1 / (1 + exp(below)) + apart) }
      if label < classes - 1 { gradients[label] -= gradient * (1 / (1 + exp(-above)) + apart) }
    }
    return gradients
  }
}
