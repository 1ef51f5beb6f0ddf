import Basics
import Dispatch
import Foundation
import Generation
import Labelling
import Relevance

/// Labels the same pairs in two modes and compares their distributions.
struct AgreementMeasurement {
  let prompt: RelevancePrompt
  let pairs: [PairWork]
  let maxTokens: Int
  let context: Int
  let batch: Int
  let isQuiet: Bool

  /// What a mode made of the pairs, by row.
  struct Labels {
    var model = ""
    var mode = ""
    var backend = ""
    var answers: [Int: [Int32]] = [:]
    var distributions: [Int: LabelDistribution] = [:]
    var seconds = 0.0
  }

  struct Comparison {
    var mode = ""
    /// After the reference's own rationale.
    var forced: [Int: LabelDistribution] = [:]
    var agreement = LabelAgreement([])
    var seconds = 0.0
    /// After the mode's own rationale, where asked for.
    var free: Labels?
    var freeAgreement = LabelAgreement([])
    /// Pairs whose own rationale is the reference's, token for token.
    var sameAnswers = 0
  }

  /// The pairs as `session`'s mode labels them.
  ///
  /// - Throws: what the device reports; pairs that fail are left out.
  func reference(_ session: ModelSession) throws -> Labels {
    try labels(makeRun(session))
  }

  private func makeRun(_ session: ModelSession) -> LabelRun {
    LabelRun(
      session: session, prompt: prompt, form: .fixed, maxTokens: maxTokens,
      context: min(context, session.source.configuration.contextLength), batch: batch)
  }

  private func labels(_ run: LabelRun) throws -> Labels {
    var labels = Labels(
      model: run.session.name, mode: run.session.compute.rawValue,
      backend: run.session.backend.device.backend)
    let bar = ProgressBar("Labelling in \(labels.mode)", total: pairs.count, isEnabled: !isQuiet)
    var done = 0
    let measured = try LabelMeasurement(
      run, pairs, completion: { labels.answers[$0.row] = $1.tokens },
      result: { result in
        done += 1
        bar.update(done)
        if case .success(let record) = result.outcome {
          labels.distributions[result.row] = record.distribution
        }
      })
    bar.finish()
    labels.seconds = measured.seconds
    return labels
  }

  /// `session`'s mode beside the reference.
  ///
  /// - Throws: what the device reports; pairs that one of the two fails on are left out.
  func compare(_ session: ModelSession, with reference: Labels, free: Bool) throws -> Comparison {
    let run = makeRun(session)
    var comparison = Comparison(mode: session.compute.rawValue)
    let engine = try session.makeEngine(sequences: batch, context: run.context, cacheTokens: run.cacheTokens)
    let scorer = AnswerScorer(engine: engine, encoder: try run.makeEncoder(), batch: batch)
    let rows = pairs.filter { reference.distributions[$0.row] != nil }
    let bar = ProgressBar("Reading labels in \(comparison.mode)", total: rows.count, isEnabled: !isQuiet)
    let start = DispatchTime.now().uptimeNanoseconds
    let results = try scorer.distributions(
      after: rows.map { ($0.pair, reference.answers[$0.row] ?? []) }, report: { bar.update($0) })
    bar.finish()
    comparison.seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
    for (work, result) in zip(rows, results) {
      guard case .success(let found) = result else { continue }
      comparison.forced[work.row] = found
    }
    comparison.agreement = agreement(reference.distributions, comparison.forced)
    if free {
      let own = try labels(run)
      comparison.freeAgreement = agreement(reference.distributions, own.distributions)
      comparison.sameAnswers = rows.count { own.answers[$0.row] == reference.answers[$0.row] }
      comparison.free = own
    }
    return comparison
  }

  private func agreement(_ reference: [Int: LabelDistribution], _ candidate: [Int: LabelDistribution])
    -> LabelAgreement
  {
    LabelAgreement(
      pairs.compactMap { work in
        guard let one = reference[work.row], let other = candidate[work.row] else { return nil }
        return (one, other)
      })
  }
}
