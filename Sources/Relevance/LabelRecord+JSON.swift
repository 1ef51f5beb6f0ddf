extension LabelRecord {
  /// The record as JSON on one line without its line break; equal records give equal bytes.
  public var json: String {
    var writer = JSONWriter()
    writer.object { record in
      record.field("pair_id", pairID)
      if let queryID { record.field("query_id", queryID) }
      if let itemID { record.field("item_id", itemID) }
      record.field("label", label.name)
      LabelRecord.write(distribution, to: &record)
      record.field("score", distribution.score)
      if let consensus { LabelRecord.write(consensus, to: &record) }
      record.field("rationale", rationale)
      LabelRecord.write(verdicts, to: &record)
      record.key("tokens")
      record.object { entry in
        entry.field("prompt", promptTokens)
        entry.field("generated", generatedTokens)
        entry.field("jumped", jumpedTokens)
      }
      record.field("truncated", isTruncated)
      record.field("model", model)
      record.field("prompt_hash", promptHash)
      if let sampling { write(sampling, to: &record) }
      if let calibration { write(calibration, to: &record) }
    }
    return writer.text
  }

  private static func write(_ distribution: LabelDistribution, to record: inout JSONWriter) {
    record.key("probabilities")
    record.object { entry in
      for (label, probability) in zip(distribution.labels.labels, distribution.probabilities) {
        entry.field(label.name, probability)
      }
    }
  }

  private static func write(_ consensus: SelfConsistency, to record: inout JSONWriter) {
    record.key("votes")
    record.object { entry in
      for (label, votes) in zip(consensus.distribution.labels.labels, consensus.votes) {
        entry.field(label.name, votes)
      }
    }
    record.field("vote_share", consensus.voteShare)
    record.field("entropy", consensus.distribution.normalizedEntropy)
  }

  private static func write(
    _ verdicts: [(aspect: String, verdict: Verdict?)], to record: inout JSONWriter
  ) {
    record.key("verdicts")
    record.object { entry in
      for (aspect, verdict) in verdicts { entry.field(aspect, verdict?.rawValue) }
    }
  }

  private func write(_ calibration: LabelCalibration, to record: inout JSONWriter) {
    record.key("calibration")
    record.object { entry in
      if let name = calibration.name { entry.field("name", name) }
      entry.field("temperature", calibration.temperature)
      guard !calibration.bias.isEmpty else { return }
      entry.key("bias")
      entry.object { values in
        for (label, bias) in zip(distribution.labels.labels, calibration.bias) {
          values.field(label.name, bias)
        }
      }
    }
  }

  private func write(_ sampling: Sampling, to record: inout JSONWriter) {
    record.key("sampling")
    record.object { entry in
      entry.field("samples", sampling.samples)
      entry.field("temperature", sampling.temperature)
      entry.field("top_p", sampling.topP)
      // As text: a JSON number holds whole numbers to 2⁵³ only.
      entry.field("seed", String(sampling.seed))
    }
    guard sampling.keepsAll else { return }
    record.key("samples")
    record.array(samples) { list, sample in
      list.object { entry in
        entry.field("label", sample.distribution.label.name)
        LabelRecord.write(sample.distribution, to: &entry)
        entry.field("rationale", sample.rationale)
        LabelRecord.write(verdicts.map { ($0.aspect, sample.verdicts[$0.aspect]) }, to: &entry)
        entry.key("tokens")
        entry.object { tokens in
          tokens.field("generated", sample.generatedTokens)
          tokens.field("jumped", sample.jumpedTokens)
        }
        entry.field("truncated", sample.isTruncated)
      }
    }
  }
}
