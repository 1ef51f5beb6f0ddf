import Basics
import Foundation
import Relevance

/// A part of the loss (docs/method.md, Losses).
public enum LossTerm: String, Sendable, CaseIterable, Hashable {
  /// Cross-entropy with the human label.
  case hard
  /// Divergence from the teacher's label distribution.
  case score
  /// The teacher's verdicts.
  case reasoning

  /// Whether the term reads a teacher's records.
  public var needsTeacher: Bool { self != .hard }
}

/// Which terms count, and how much.
public struct LossSettings: Sendable, Hashable {
  public var weights: [LossTerm: Double]
  /// τ of the score distribution.
  public var temperature: Double

  /// - Throws: `invalidArgument` where nothing counts, a weight is negative or the temperature out of range.
  public init(weights: [LossTerm: Double] = LossSettings.defaultWeights, temperature: Double = 2) throws {
    guard weights.values.allSatisfy({ $0 >= 0 && $0.isFinite }), weights.values.contains(where: { $0 > 0 })
    else {
      throw RetortError(
        .invalidArgument, "weights \(weights.values.sorted())", field: "weights",
        remedy: "Give weights of at least 0, not all of them 0.")
    }
    let range = SettingLimits.temperature
    guard range.contains(temperature) else {
      throw RetortError(
        .invalidArgument, "a temperature of \(temperature)", field: "temperature",
        remedy: "Give a number from \(range.lowerBound) to \(range.upperBound).")
    }
    self.weights = weights
    self.temperature = temperature
  }

  /// λ of each term (docs/method.md, Losses).
  public static let defaultWeights: [LossTerm: Double] = [.hard: 1, .score: 1, .reasoning: 0.3]

  /// λ of a term; 0 for one that does not count.
  public func weight(_ term: LossTerm) -> Double { weights[term] ?? 0 }
  /// Whether a term adds to the loss.
  public func counts(_ term: LossTerm) -> Bool { weight(term) > 0 }
}

/// What every row of one optimiser's batch weighs in each term, so that the batch's loss is a plain sum over rows.
///
/// Denominators depend on the targets alone, so a batch may be computed in pieces.
struct BatchWeights {
  /// Of −ln p(y).
  let hard: [Double]
  /// Of τ² KL.
  let score: [Double]
  /// Of each aspect of each row.
  let reasoning: [[Double]]

  init(_ rows: [TrainingRow], aspects: Int, settings: LossSettings, isJudged: (Verdict) -> Bool) {
    let labelled = rows.count { $0.label != nil }
    hard = rows.map {
      $0.label == nil || labelled == 0 ? 0 : settings.weight(.hard) / Double(labelled)
    }
    func shares(_ counts: (TrainingRow.Teacher) -> Bool) -> [Double] {
      let raw = rows.map { row in row.teacher.map { counts($0) ? $0.certainty : 0 } ?? 0 }
      let total = raw.reduce(0, +)
      return raw.map { total > 0 ? $0 / total : 0 }
    }
    score = shares { _ in true }.map { $0 * settings.weight(.score) }
    let judged = rows.map { row in
      (0..<aspects).map { row.teacher?.verdicts[$0].map(isJudged) ?? false }
    }
    let perRow = zip(rows, judged).map { $1.count { $0 } }
    let total = zip(rows, perRow).reduce(0) { $0 + ($1.1 > 0 ? $1.0.teacher?.certainty ?? 0 : 0) }
    reasoning = rows.indices.map { row in
      judged[row].map { isJudged in
        guard isJudged, total > 0, let teacher = rows[row].teacher else { return 0 }
        return settings.weight(.reasoning) * teacher.certainty / total / Double(perRow[row])
      }
    }
  }

  /// `p^(1/τ)`, normalised.
  static func softened(_ probabilities: [Double], temperature: Double) -> [Double] {
    let powers = probabilities.map { $0 > 0 ? exp(log($0) / temperature) : 0 }
    let total = powers.reduce(0, +)
    return powers.map { $0 / total }
  }
}
