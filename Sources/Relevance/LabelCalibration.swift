import Basics
import Foundation

/// A map from a label distribution to one that fits human labels better: q(k) ∝ p(k)^(1/T) · exp(b(k)).
///
/// Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), vector scaling with one temperature for
/// all labels. docs/method.md says how it is fitted.
public struct LabelCalibration: Sendable, Equatable, CustomStringConvertible {
  /// Smaller probabilities count as this one, so that a zero has a logarithm.
  public static let leastProbability = 1e-30
  /// Temperatures that are accepted and fitted.
  public static let temperatures: ClosedRange<Double> = 0.01...100

  /// The name it is stored under; nil where it is a temperature from the command line.
  public let name: String?
  /// T: above 1 flattens, below 1 sharpens.
  public let temperature: Double
  /// b in label-set order; empty for none.
  public let bias: [Double]

  /// - Throws: `invalidArgument` where the temperature is not from 0.01 to 100 or a bias is not finite.
  public init(name: String? = nil, temperature: Double, bias: [Double] = []) throws {
    guard LabelCalibration.temperatures.contains(temperature) else {
      throw RetortError(
        .invalidArgument, "a label temperature of \(temperature)", field: "temperature-label",
        remedy: "Give a number from 0.01 to 100; 1 leaves the probabilities as they are.")
    }
    guard bias.allSatisfy(\.isFinite) else {
      throw RetortError(
        .invalidArgument, "a bias is not a finite number", field: "bias",
        remedy: "Fit the calibration again.")
    }
    self.name = name
    self.temperature = temperature
    self.bias = bias
  }

  /// Name and numbers, for a job's settings: equal where the map is equal.
  public var description: String {
    (name.map { "\($0), " } ?? "") + "temperature \(temperature)"
      + (bias.isEmpty ? "" : ", bias \(bias.map(\.description).joined(separator: " "))")
  }

  /// The calibrated distribution.
  ///
  /// - Throws: `invalidArgument` where there are biases and not one for each label.
  public func apply(_ distribution: LabelDistribution) throws -> LabelDistribution {
    try LabelDistribution(labels: distribution.labels, probabilities: apply(distribution.probabilities))
  }

  /// The calibrated probabilities, summing to 1; `probabilities` in label-set order.
  ///
  /// - Throws: `invalidArgument` where there are biases and not one for each label.
  public func apply(_ probabilities: [Double]) throws -> [Double] {
    guard bias.isEmpty || bias.count == probabilities.count else {
      throw RetortError(
        .invalidArgument,
        "the calibration has \(bias.count) biases for \(probabilities.count) labels", field: "bias",
        remedy: "Use it with the label set that it was fitted for.")
    }
    let logits = LabelCalibration.logs(probabilities).enumerated()
      .map { $1 / temperature + (bias.isEmpty ? 0 : bias[$0]) }
    return LabelCalibration.softmax(logits)
  }

  static func logs(_ probabilities: [Double]) -> [Double] {
    probabilities.map { log(max($0, leastProbability)) }
  }

  static func softmax(_ logits: [Double]) -> [Double] {
    let highest = logits.max() ?? 0
    let weights = logits.map { exp($0 - highest) }
    let total = weights.reduce(0, +)
    return weights.map { $0 / total }
  }
}
