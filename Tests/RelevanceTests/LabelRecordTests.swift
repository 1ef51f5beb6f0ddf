import Basics
import Foundation
import Testing

@testable import Relevance

@Suite struct LabelRecordTests {
  private func record(pair: Pair, rationaleText: String?, probabilities: [Double]) throws -> LabelRecord {
    LabelRecord(
      pair: pair, distribution: try LabelDistribution(labels: .standard, probabilities: probabilities),
      rationaleText: rationaleText, rationale: rationaleText.map { RationaleParser().parse($0) },
      promptTokens: 512, generatedTokens: 40, jumpedTokens: 7, isTruncated: true, model: "smollm2",
      promptHash: "00ff")
  }

  @Test func recordHasFixedBytes() throws {
    let pair = Pair(pairID: "p1", queryID: "q1", query: "a", itemID: "i1", title: "b")
    let record = try record(
      pair: pair, rationaleText: "Asks: tap\nbrand: match - \"Moen\"\nLabel: exact", probabilities: [3, 0, 1])
    #expect(
      record.json == #"""
        {"pair_id":"p1","query_id":"q1","item_id":"i1","label":"exact",\#
        "probabilities":{"exact":0.75,"partial":0.0,"irrelevant":0.25},"score":0.75,\#
        "rationale":"Asks: tap\nbrand: match - \"Moen\"\nLabel: exact",\#
        "verdicts":{"product type":null,"brand":"match","model":null,"attributes":null,"use":null},\#
        "tokens":{"prompt":512,"generated":40,"jumped":7},"truncated":true,"model":"smollm2","prompt_hash":"00ff"}
        """#)
  }

  @Test func idsThatTheInputLacksAreLeftOut() throws {
    let record = try record(
      pair: Pair(pairID: "row-1", pairIDIsSynthesized: true, query: "a", title: "b"), rationaleText: nil,
      probabilities: [1, 1, 1])
    let fields = try foundationObject(record.json)
    #expect(fields["pair_id"] as? String == "row-1")
    #expect(fields["query_id"] == nil)
    #expect(fields["item_id"] == nil)
    #expect(fields["rationale"] is NSNull)
  }

  @Test func printedProbabilitiesSumToOne() throws {
    var draw = Draw(seed: 3)
    let pair = Pair(pairID: "p", query: "a", title: "b")
    for _ in 0..<200 {
      let weights = (0..<3).map { _ in exp(-40 * Double.random(in: 0...1, using: &draw)) }
      let fields = try foundationObject(record(pair: pair, rationaleText: nil, probabilities: weights).json)
      let printed = try #require(fields["probabilities"] as? [String: Double])
      #expect(abs(printed.values.reduce(0, +) - 1) < 1e-12)
    }
  }

  @Test func distributionGivesLabelScoreAndEntropy() throws {
    let distribution = try LabelDistribution(labels: .standard, probabilities: [0.2, 0.5, 0.3])
    #expect(distribution.label.name == "partial")
    #expect(abs(distribution.score - 0.45) < 1e-15)
    let sure = try LabelDistribution(labels: .standard, probabilities: [0, 0, 2])
    #expect(sure.probabilities == [0, 0, 1])
    #expect(sure.normalizedEntropy == 0)
    #expect(sure.score == 0)
    let even = try LabelDistribution(labels: .standard, probabilities: [1, 1, 1])
    #expect(abs(even.normalizedEntropy - 1) < 1e-12)
    #expect(even.index == 0)
    let half = try LabelDistribution(labels: .standard, probabilities: [1, 1, 0])
    #expect(abs(half.normalizedEntropy - log(2) / log(3)) < 1e-12)
  }

  @Test(arguments: [[], [1, 1], [1, 1, 1, 1], [0, 0, 0], [-1, 1, 1], [.nan, 1, 1], [.infinity, 1, 1]])
  func badProbabilitiesAreRefused(probabilities: [Double]) {
    let error = thrownError { _ = try LabelDistribution(labels: .standard, probabilities: probabilities) }
    #expect(error?.field == "probabilities")
  }

  @Test func rowErrorIsALineOfJSON() throws {
    let error = RowError(
      line: 7,
      reason: RetortError(.malformedRow, "the field is \"missing\"", field: "query", remedy: "Add it."))
    #expect(
      error.json
        == #"{"line":7,"code":"malformed-row","field":"query","reason":"the field is \"missing\"","remedy":"Add it."}"#
    )
  }
}
