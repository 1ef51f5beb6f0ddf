import Basics
import Relevance

/// A teacher's distributions fitted to people's labels, on the training rows that have both.
public struct TeacherCalibration: Sendable, Hashable, Codable {
  public let temperature: Double
  /// In label-set order.
  public let bias: [Double]
  /// Rows that it was fitted on.
  public let pairs: Int
  /// Mean of −ln p(human label) on them, before and after.
  public let logLossBefore: Double
  public let logLossAfter: Double

  enum CodingKeys: String, CodingKey {
    case temperature, bias, pairs
    case logLossBefore = "log_loss_before"
    case logLossAfter = "log_loss_after"
  }

  /// Fits.
  ///
  /// - Throws: `invalidArgument` where fewer than ``CalibrationFit/minimumExamples`` rows have both.
  init(_ rows: [TrainingRow]) throws {
    let examples = rows.compactMap { row -> CalibrationExample? in
      guard let label = row.label, let teacher = row.teacher else { return nil }
      return CalibrationExample(probabilities: teacher.probabilities, label: label, group: row.pairID)
    }
    guard examples.count >= CalibrationFit.minimumExamples else {
      throw RetortError(
        .invalidArgument, "\(examples.count) pairs have both a human label and a teacher's record",
        field: "calibrate-teacher",
        remedy: "Give at least \(CalibrationFit.minimumExamples), or leave the teacher as it is.")
    }
    let fitted = try CalibrationFit.fit(examples)
    temperature = fitted.temperature
    bias = fitted.bias
    pairs = examples.count
    logLossBefore = CalibrationQuality(examples).logLoss
    logLossAfter = try CalibrationQuality(examples, calibratedBy: fitted).logLoss
  }

  /// The rows with the teacher's distributions, and so its certainty, as calibrated.
  ///
  /// - Throws: `invalidArgument` where the label set is another.
  func apply(to rows: [TrainingRow], _ labels: LabelSet) throws -> [TrainingRow] {
    let calibration = try LabelCalibration(temperature: temperature, bias: bias)
    return try rows.map { row in
      guard let teacher = row.teacher else { return row }
      let distribution = try LabelDistribution(labels: labels, probabilities: teacher.probabilities)
      return TrainingRow(
        pairID: row.pairID, texts: row.texts, label: row.label,
        teacher: .init(try calibration.apply(distribution), verdicts: teacher.verdicts))
    }
  }
}
