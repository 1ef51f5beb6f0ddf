import Relevance

extension DistillationRun {
  /// What of the data is likely to be a mistake, and does not keep the run from going on; a sentence each.
  public var warnings: [String] {
    var warnings: [String] = []
    let counts = data.counts
    if counts.unmatchedRecords > 0 {
      let rest = counts.unmatchedRecords > data.unmatched.count ? ", …" : ""
      warnings.append(
        "\(counts.unmatchedRecords) teacher records are of pairs that are not read: "
          + data.unmatched.joined(separator: ", ") + rest)
    }
    if counts.taught > 0, counts.reasoned == 0, losses.counts(.reasoning) {
      warnings.append(
        "no teacher record has a verdict that the student learns from: reasoning counts nothing")
    }
    guard let heldOut else { return warnings }
    let shared = heldOut.pairs.filter { data.queries.contains(TrainingData.queryKey($0)) }
    if let first = shared.first {
      warnings.append(
        "\(shared.count) of \(heldOut.pairs.count) held-out pairs have a query of the training pairs, such as "
          + "\"\(first.query)\" (\(first.pairID)): their metrics do not tell how the student does on new queries"
      )
    }
    if let reason = undefined(heldOut) {
      warnings.append(
        "\(settings.watch) is not defined on the held-out pairs (\(reason)): the last weights are kept, not the best"
      )
    }
    return warnings
  }

  /// Why even perfect predictions have no value of the watched metric.
  private func undefined(_ heldOut: HeldOutPairs) -> String? {
    let labels = student.shape.labels
    let perfect = heldOut.gold.compactMap { gold in
      try? LabelDistribution(
        labels: labels, probabilities: labels.labels.indices.map { $0 == gold.label ? 1 : 0 })
    }
    guard perfect.count == heldOut.gold.count, let metric = Metric(rawValue: settings.watch),
      let bootstrap = try? QueryBootstrap(resamples: 0, seed: 0),
      let judged = try? JudgedPairs(
        labels: labels, gold: heldOut.gold, predictions: perfect.map { Prediction(distribution: $0) })
    else { return nil }
    let evaluation = Evaluation(judged, bootstrap: bootstrap)
    guard evaluation[metric].value == nil else { return nil }
    return evaluation.notes[metric.rawValue] ?? "it has no value"
  }
}
