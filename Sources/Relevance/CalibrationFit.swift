import Basics
import Foundation

/// A pair's label distribution beside the label that people gave it.
public struct CalibrationExample: Sendable, Equatable {
  /// In label-set order, summing to 1.
  public let probabilities: [Double]
  /// The human label's place in the label set.
  public let label: Int
  /// What examples are held out together by, such as the query.
  public let group: String

  public init(probabilities: [Double], label: Int, group: String) {
    self.probabilities = probabilities
    self.label = label
    self.group = group
  }
}

/// Fits a calibration by maximum likelihood.
///
/// With β = 1/T and x(k) = ln p(k) the loss is −Σ ln softmax(β·x + b)[label] + (λ/2)·|b|². It is convex in (β, b), so
/// damped Newton steps find its minimum. The penalty also makes the biases sum to 0: adding a number to all of them
/// changes no probability, only the penalty.
public enum CalibrationFit {
  /// λ: a normal prior of variance 10 on each bias. It is worth a tenth of a pair or less, and keeps the bias of a
  /// label that no pair has finite.
  public static let penalty = 0.1
  /// Fewer examples than this tell nothing.
  public static let minimumExamples = 20

  /// The calibration that makes the examples' labels most probable.
  ///
  /// - Throws: `invalidArgument` where there are fewer than 20 examples, they have not all the same number of
  ///   probabilities, or a label is none of theirs.
  public static func fit(_ examples: [CalibrationExample], name: String? = nil) throws -> LabelCalibration {
    try check(examples)
    var problem = Problem(examples)
    let bounds = LabelCalibration.temperatures
    problem.minimise()
    // The loss is convex: where its minimum lies beyond a bound of β, that bound is the best β allowed.
    if problem.parameters[0] > 1 / bounds.lowerBound {
      problem.fix(beta: 1 / bounds.lowerBound)
    } else if problem.parameters[0] < 1 / bounds.upperBound {
      problem.fix(beta: 1 / bounds.upperBound)
    }
    let temperature = min(max(1 / problem.parameters[0], bounds.lowerBound), bounds.upperBound)
    return try LabelCalibration(
      name: name, temperature: temperature, bias: Array(problem.parameters.dropFirst()))
  }

  static func check(_ examples: [CalibrationExample]) throws {
    guard examples.count >= minimumExamples, let labels = examples.first?.probabilities.count else {
      throw RetortError(
        .invalidArgument,
        "a calibration needs at least \(minimumExamples) labelled pairs, found \(examples.count)",
        field: "label", remedy: "Give more pairs with a human label.")
    }
    guard
      examples.allSatisfy({
        $0.probabilities.count == labels && $0.probabilities.indices.contains($0.label)
          && $0.probabilities.allSatisfy { $0 >= 0 && $0.isFinite }
      })
    else {
      throw RetortError(
        .invalidArgument, "the examples do not share one label set", field: "probabilities",
        remedy: "Give each example a probability for every label.")
    }
  }

  /// The loss with its parameters β, b(1), …, b(K).
  private struct Problem {
    let inputs: [[Double]]
    let labels: [Int]
    var parameters: [Double]
    private var fixesBeta = false

    init(_ examples: [CalibrationExample]) {
      inputs = examples.map { LabelCalibration.logs($0.probabilities) }
      labels = examples.map(\.label)
      parameters = [1] + [Double](repeating: 0, count: inputs.first?.count ?? 0)
    }

    mutating func fix(beta: Double) {
      parameters = [beta] + parameters.dropFirst().map { _ in 0 }
      fixesBeta = true
      minimise()
    }

    private func logits(_ parameters: [Double], _ input: [Double]) -> [Double] {
      input.indices.map { parameters[0] * input[$0] + parameters[$0 + 1] }
    }

    private func loss(_ parameters: [Double]) -> Double {
      var sum = parameters.dropFirst().reduce(0) { $0 + penalty / 2 * $1 * $1 }
      for (input, label) in zip(inputs, labels) {
        let logits = logits(parameters, input)
        let highest = logits.max() ?? 0
        sum += highest + log(logits.reduce(0) { $0 + exp($1 - highest) }) - logits[label]
      }
      return sum
    }

    /// Gradient and Hessian of the loss; of the Hessian the lower triangle.
    private func derivatives() -> (gradient: [Double], hessian: [[Double]]) {
      let size = parameters.count
      var gradient = [0] + parameters.dropFirst().map { penalty * $0 }
      var hessian = [[Double]](repeating: [Double](repeating: 0, count: size), count: size)
      for index in 1..<size { hessian[index][index] = penalty }
      for (input, label) in zip(inputs, labels) {
        let q = LabelCalibration.softmax(logits(parameters, input))
        let mean = zip(q, input).reduce(0) { $0 + $1.0 * $1.1 }
        gradient[0] += mean - input[label]
        for j in q.indices {
          let deviation = input[j] - mean
          gradient[j + 1] += q[j] - (j == label ? 1 : 0)
          hessian[0][0] += q[j] * deviation * deviation
          hessian[j + 1][0] += q[j] * deviation
          hessian[j + 1][j + 1] += q[j]
          for k in 0...j { hessian[j + 1][k + 1] -= q[j] * q[k] }
        }
      }
      if fixesBeta {
        gradient[0] = 0
        for j in 0..<size { hessian[j][0] = 0 }
        hessian[0][0] = 1
      }
      return (gradient, hessian)
    }

    /// Newton steps, halved until the loss falls enough (Armijo's rule).
    mutating func minimise() {
      var current = loss(parameters)
      for _ in 0..<200 {
        let (gradient, hessian) = derivatives()
        let step = SymmetricSystem.solve(hessian, gradient)
        let slope = zip(gradient, step).reduce(0) { $0 + $1.0 * $1.1 }
        guard slope > 1e-12 * max(1, current) else { return }
        var share = 1.0
        var moved = false
        while share > 1e-10 {
          let next = zip(parameters, step).map { $0 - share * $1 }
          let value = loss(next)
          if value <= current - 1e-4 * share * slope {
            (parameters, current, moved) = (next, value, true)
            break
          }
          share /= 2
        }
        // Where labels are told apart without an error, β grows without end: the bound ends that.
        if !moved || parameters[0] > 2 / LabelCalibration.temperatures.lowerBound { return }
      }
    }
  }
}

/// Small symmetric systems of equations.
enum SymmetricSystem {
  /// x with A·x = b for a positive definite A `[n, n]`, of which the lower triangle is read, by Cholesky's factors; a
  /// pivot that rounding made too small
  /// is raised, which shortens the step along its direction.
  static func solve(_ matrix: [[Double]], _ right: [Double]) -> [Double] {
    let size = right.count
    let least = max(1e-300, 1e-14 * ((0..<size).map { matrix[$0][$0] }.max() ?? 0))
    var factor = matrix
    var x = right
    for j in 0..<size {
      for k in 0..<j { factor[j][j] -= factor[j][k] * factor[j][k] }
      factor[j][j] = max(factor[j][j], least).squareRoot()
      for i in (j + 1)..<max(size, j + 1) {
        for k in 0..<j { factor[i][j] -= factor[i][k] * factor[j][k] }
        factor[i][j] /= factor[j][j]
      }
    }
    for i in 0..<size {
      for k in 0..<i { x[i] -= factor[i][k] * x[k] }
      x[i] /= factor[i][i]
    }
    for i in (0..<size).reversed() {
      for k in (i + 1)..<max(size, i + 1) { x[i] -= factor[k][i] * x[k] }
      x[i] /= factor[i][i]
    }
    return x
  }
}
