import Foundation

/// How well label distributions fit human labels.
public struct CalibrationQuality: Sendable, Equatable {
  public let count: Int
  /// Mean of −ln p(human label), in nats.
  public let logLoss: Double
  /// The expected calibration error: over bins of the highest probability, the mean distance between that
  /// probability and the share of right labels, weighted by the bin's pairs.
  public let calibrationError: Double
  /// The share of pairs whose most probable label is the human one.
  public let accuracy: Double

  public init(count: Int, logLoss: Double, calibrationError: Double, accuracy: Double) {
    self.count = count
    self.logLoss = logLoss
    self.calibrationError = calibrationError
    self.accuracy = accuracy
  }

  /// - Parameter distributions: probabilities in label-set order with the human label's place; all zero of none.
  public init(_ distributions: [(probabilities: [Double], label: Int)]) {
    var loss = 0.0
    var bins = CalibrationBins()
    for (probabilities, label) in distributions {
      guard probabilities.indices.contains(label) else { continue }
      loss -= log(max(probabilities[label], LabelCalibration.leastProbability))
      let best = probabilities.indices.reduce(0) { probabilities[$1] > probabilities[$0] ? $1 : $0 }
      let confidence = probabilities[best]
      bins.add(
        bin: CalibrationBins.bin(confidence), confidence: confidence, isCorrect: best == label, weight: 1)
    }
    let total = Double(max(1, distributions.count))
    count = distributions.count
    logLoss = loss / total
    accuracy = Double(bins.correct.reduce(0, +)) / total
    calibrationError = bins.error ?? 0
  }

  /// Of the examples' own probabilities.
  public init(_ examples: [CalibrationExample]) {
    self.init(examples.map { ($0.probabilities, $0.label) })
  }

  /// Of the examples' calibrated probabilities.
  ///
  /// - Throws: what ``LabelCalibration/apply(_:)`` throws.
  public init(_ examples: [CalibrationExample], calibratedBy calibration: LabelCalibration) throws {
    self.init(try examples.map { (try calibration.apply($0.probabilities), $0.label) })
  }

  /// Of examples calibrated by fits that have not seen them nor another one of their group, by cross-validation.
  ///
  /// Groups are dealt in order of their first example to `folds` parts; nil where there are too few groups or
  /// examples.
  ///
  /// - Throws: what ``CalibrationFit/fit(_:name:)`` throws.
  public static func heldOut(_ examples: [CalibrationExample], folds: Int = 5) throws -> CalibrationQuality? {
    var groups: [String: Int] = [:]
    for example in examples where groups[example.group] == nil { groups[example.group] = groups.count }
    guard folds >= 2, groups.count >= folds else { return nil }
    var distributions: [(probabilities: [Double], label: Int)] = []
    for fold in 0..<folds {
      let seen = examples.filter { (groups[$0.group] ?? 0) % folds != fold }
      guard seen.count >= CalibrationFit.minimumExamples else { return nil }
      let calibration = try CalibrationFit.fit(seen)
      for example in examples where (groups[example.group] ?? 0) % folds == fold {
        distributions.append((try calibration.apply(example.probabilities), example.label))
      }
    }
    return CalibrationQuality(distributions)
  }
}
