import Basics
import Testing

@testable import Relevance

@Suite struct SelfConsistencyTests {
  private func distribution(_ probabilities: [Double]) throws -> LabelDistribution {
    try LabelDistribution(labels: .standard, probabilities: probabilities)
  }

  private func consensus(_ rows: [[Double]]) throws -> SelfConsistency {
    try SelfConsistency(rows.map(distribution))
  }

  @Test("The distribution is the mean, the label the one with the most votes, even against the mean")
  func meanAndVote() throws {
    let result = try consensus([[0.5, 0.4, 0.1], [0.45, 0.4, 0.15], [0, 1, 0]])
    #expect(result.votes == [2, 1, 0])
    #expect(result.label.name == "exact")
    #expect(result.distribution.label.name == "partial")
    for (actual, expected) in zip(result.distribution.probabilities, [0.95 / 3, 1.8 / 3, 0.25 / 3]) {
      #expect(abs(actual - expected) < 1e-12)
    }
    #expect(abs(result.voteShare - 2.0 / 3) < 1e-15)
  }

  @Test("The kept rationale is the surest of those that agree with the vote, of equals the first")
  func kept() throws {
    #expect(try consensus([[0.4, 0.3, 0.3], [0.7, 0.2, 0.1], [0, 0, 1], [0.7, 0.1, 0.2]]).kept == 1)
    #expect(try consensus([[0, 1, 0], [0.5, 0.3, 0.2], [0.4, 0.3, 0.3]]).kept == 1)
  }

  @Test("A tied vote goes to the label with the higher mean probability, then to the first")
  func ties() throws {
    let result = try consensus([[0.5, 0.3, 0.2], [0.1, 0.9, 0]])
    #expect(result.votes == [1, 1, 0] && result.label.name == "partial" && result.kept == 1)
    let even = try consensus([[0, 0, 1], [1, 0, 0]])
    #expect(even.label.name == "exact" && even.kept == 1)
  }

  @Test("One rationale is its own mean, to the last bit")
  func one() throws {
    var draw = Draw(seed: 5)
    for _ in 0..<200 {
      let one = try distribution((0..<3).map { _ in Double.random(in: 0...1, using: &draw) })
      let result = try SelfConsistency([one])
      #expect(result.distribution == one && result.index == one.index && result.kept == 0)
      #expect(result.voteShare == 1)
    }
  }

  @Test("The mean is a distribution, its label among those voted for has the most votes")
  func random() throws {
    var draw = Draw(seed: 6)
    for _ in 0..<300 {
      let rows = try (0..<Int.random(in: 1...9, using: &draw)).map { _ in
        try distribution((0..<3).map { _ in Double.random(in: 0...1, using: &draw) })
      }
      let result = try SelfConsistency(rows)
      #expect(abs(result.distribution.probabilities.reduce(0, +) - 1) < 1e-12)
      #expect(result.votes.reduce(0, +) == rows.count && result.votes[result.index] == result.votes.max())
      #expect(rows[result.kept].index == result.index)
      // Order decides nothing but the place of the kept one.
      let turned = try SelfConsistency(rows.reversed())
      #expect(turned.votes == result.votes && turned.index == result.index)
    }
  }

  @Test("No rationale, and rationales over different label sets, are refused")
  func refusals() throws {
    let other = try LabelSet(LabelSet.standard.labels.reversed())
    let mixed = try [
      distribution([1, 0, 0]), LabelDistribution(labels: other, probabilities: [1, 0, 0]),
    ]
    #expect(thrownError { _ = try SelfConsistency([]) }?.field == "samples")
    #expect(thrownError { _ = try SelfConsistency(mixed) }?.field == "samples")
  }

  @Test("A record of several rationales tells votes, share, entropy and how they were drawn")
  func record() throws {
    let parser = RationaleParser()
    let samples = try [("match", [0.75, 0, 0.25]), ("mismatch", [0, 0, 1]), ("match", [1, 0, 0])].map {
      verdict, probabilities in
      LabelSample(
        distribution: try distribution(probabilities), rationaleText: "brand: \(verdict) - x",
        rationale: parser.parse("brand: \(verdict) - x"), generatedTokens: 10, jumpedTokens: 4)
    }
    var sampling = LabelRecord.Sampling(samples: 3, temperature: 0.7, topP: 0.95, seed: .max)
    func json() throws -> String {
      try LabelRecord(
        pair: Pair(pairID: "p", query: "a", title: "b"), samples: samples, sampling: sampling,
        outline: RationaleOutline(aspects: [Aspect(name: "brand")]), promptTokens: 100, model: "m",
        promptHash: "h"
      ).json
    }
    let record = try json()
    let fields = try foundationObject(record)
    #expect(fields["label"] as? String == "exact" && fields["rationale"] as? String == "brand: match - x")
    #expect(fields["votes"] as? [String: Int] == ["exact": 2, "partial": 0, "irrelevant": 1])
    #expect(abs((fields["vote_share"] as? Double ?? 0) - 2.0 / 3) < 1e-15)
    let entropy = try consensus([[1.75, 0, 1.25]]).distribution.normalizedEntropy
    #expect(abs((fields["entropy"] as? Double ?? 0) - entropy) < 1e-12)
    #expect(
      record.hasSuffix(
        #""tokens":{"prompt":100,"generated":30,"jumped":12},"truncated":false,"model":"m","prompt_hash":"h","#
          + #""sampling":{"samples":3,"temperature":0.7,"top_p":0.95,"seed":"18446744073709551615"}}"#))
    sampling.keepsAll = true
    let all = try #require(try foundationObject(json())["samples"] as? [[String: Any]])
    #expect(all.map { $0["label"] as? String } == ["exact", "irrelevant", "exact"])
    #expect(all.map { ($0["verdicts"] as? [String: String])?["brand"] } == ["match", "mismatch", "match"])
    #expect((all[0]["probabilities"] as? [String: Double])?["irrelevant"] == 0.25)
    #expect(all.allSatisfy { ($0["tokens"] as? [String: Int]) == ["generated": 10, "jumped": 4] })
  }

  @Test("A record of one greedy rationale is what it was, in every byte")
  func single() throws {
    let sample = LabelSample(
      distribution: try distribution([0.2, 0.7, 0.1]), rationaleText: "Asks: x", rationale: nil,
      generatedTokens: 3)
    let pair = Pair(pairID: "p", query: "a", title: "b")
    let new = try LabelRecord(
      pair: pair, samples: [sample], sampling: nil, promptTokens: 9, model: "m", promptHash: "h")
    let old = LabelRecord(
      pair: pair, distribution: sample.distribution, rationaleText: "Asks: x", rationale: nil,
      promptTokens: 9, generatedTokens: 3, model: "m", promptHash: "h")
    #expect(new.json == old.json && !new.json.contains("votes") && !new.json.contains("sampling"))
  }
}
