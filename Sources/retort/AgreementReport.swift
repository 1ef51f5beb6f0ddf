import Basics
import Foundation
import Labelling
import Relevance

/// A comparison of modes for people and for machines.
struct AgreementReport {
  let reference: AgreementMeasurement.Labels
  let comparisons: [AgreementMeasurement.Comparison]
  let prompt: RelevancePrompt

  var text: String {
    var out =
      "\(reference.model), \(reference.backend), reasoning \(prompt.reasoning.rawValue): "
      + "\(reference.distributions.count) pairs in \(reference.mode) "
    out += String(format: "(%.1f s): ", reference.seconds)
    out += labelCounts.map { "\($0.name) \($0.count)" }.joined(separator: ", ") + "\n\n"
    out +=
      "mode   rationale      pairs  flips        95 %        centred  TV mean  TV max  KL mean  margin       r\n"
    for comparison in comparisons {
      let text = prompt.reasoning == .direct ? "none" : "reference's"
      out += line(comparison.mode, text, comparison.agreement)
      if comparison.free != nil { out += line(comparison.mode, "its own", comparison.freeAgreement) }
    }
    out += """

      flips: pairs whose most probable label differs; centred: the same after taking away what the reference gives
      each label on average; TV: total variation of the two distributions; margin: the largest lead of the
      reference's label over the next where it flipped; r: correlation of the expected gains

      """
    for comparison in comparisons where comparison.free != nil {
      out += "\(comparison.mode) wrote the reference's rationale for \(comparison.sameAnswers) pairs\n"
    }
    return out
  }

  /// How often the reference gives each label.
  private var labelCounts: [(name: String, count: Int)] {
    prompt.labels.names.map { name in
      (name, reference.distributions.values.count { $0.label.name == name })
    }
  }

  private func line(_ mode: String, _ rationale: String, _ agreement: LabelAgreement) -> String {
    func pad(_ text: String, _ width: Int) -> String {
      text.padding(toLength: max(width, text.count), withPad: " ", startingAt: 0)
    }
    let interval = agreement.flipInterval
    return pad(mode, 7) + pad(rationale, 13)
      + String(
        format: "%7d %6d %5.2f %% %5.2f–%5.2f %7.2f %% %8.4f %7.4f %8.5f %7.3f", agreement.pairs,
        agreement.flips,
        agreement.flipRate * 100, interval.lowerBound * 100, interval.upperBound * 100,
        agreement.centredFlipRate * 100,
        agreement.meanTotalVariation, agreement.maximumTotalVariation, agreement.meanDivergence,
        agreement.maximumFlippedMargin)
      + (agreement.scoreCorrelation.map { String(format: " %7.4f\n", $0) } ?? "       –\n")
  }

  /// - Throws: what `JSONSerialization` throws.
  func json() throws -> String {
    try Output.json([
      "model": reference.model, "backend": reference.backend, "reference": reference.mode,
      "reasoning": prompt.reasoning.rawValue, "prompt_hash": prompt.promptHash,
      "pairs": reference.distributions.count,
      "reference_labels": Dictionary(
        labelCounts.map { ($0.name, $0.count) }, uniquingKeysWith: { first, _ in first }),
      "reference_seconds": reference.seconds,
      "modes": comparisons.map { comparison -> [String: Any] in
        var fields: [String: Any] = [
          "compute": comparison.mode, "seconds": comparison.seconds,
          "forced": AgreementReport.object(comparison.agreement),
        ]
        if let free = comparison.free {
          var object = AgreementReport.object(comparison.freeAgreement)
          object["seconds"] = free.seconds
          object["same_rationales"] = comparison.sameAnswers
          fields["free"] = object
        }
        return fields
      },
    ])
  }

  private static func object(_ agreement: LabelAgreement) -> [String: Any] {
    [
      "pairs": agreement.pairs, "flips": agreement.flips, "flip_rate": agreement.flipRate,
      "flip_rate_95": [agreement.flipInterval.lowerBound, agreement.flipInterval.upperBound],
      "mean_total_variation": agreement.meanTotalVariation,
      "max_total_variation": agreement.maximumTotalVariation,
      "mean_kl": agreement.meanDivergence, "centred_flips": agreement.centredFlips,
      "centred_flip_rate": agreement.centredFlipRate,
      "score_correlation": agreement.scoreCorrelation.map { $0 as Any } ?? NSNull(),
      "max_flipped_margin": agreement.maximumFlippedMargin,
    ]
  }

  /// One line a pair: its distributions by mode, in label-set order.
  ///
  /// - Throws: what writing the file throws.
  static func writeDetails(
    _ pairs: [PairWork], _ reference: AgreementMeasurement.Labels,
    _ comparisons: [AgreementMeasurement.Comparison], to path: String
  ) throws {
    let file = try AtomicFile(path: path)
    for work in pairs {
      guard let distribution = reference.distributions[work.row] else { continue }
      var forced: [String: Any] = [:]
      var free: [String: Any] = [:]
      for comparison in comparisons {
        forced[comparison.mode] = comparison.forced[work.row]?.probabilities
        free[comparison.mode] = comparison.free?.distributions[work.row]?.probabilities
      }
      var fields: [String: Any] = [
        "pair_id": work.pair.pairID, "row": work.row, "labels": distribution.labels.names,
        "reference": distribution.probabilities, "forced": forced,
      ]
      if !free.isEmpty { fields["free"] = free }
      try file.write(try Output.json(fields))
    }
    try file.commit()
  }
}
