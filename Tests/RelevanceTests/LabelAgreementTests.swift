import Basics
import Foundation
import Testing

@testable import Relevance

@Suite struct LabelAgreementTests {
  private func distribution(_ probabilities: [Double]) throws -> LabelDistribution {
    try LabelDistribution(labels: .standard, probabilities: probabilities)
  }

  @Test func equalDistributionsDoNotDiffer() throws {
    var random = Draw(seed: 5)
    let pairs = try (0..<50).map { _ in
      let one = try distribution((0..<3).map { _ in Double.random(in: 0...1, using: &random) })
      return (reference: one, candidate: one)
    }
    let agreement = LabelAgreement(pairs)
    #expect(agreement.pairs == 50 && agreement.flips == 0 && agreement.centredFlips == 0)
    #expect(agreement.maximumTotalVariation == 0 && agreement.meanDivergence == 0)
    #expect(abs((agreement.scoreCorrelation ?? 0) - 1) < 1e-12)
    #expect(agreement.flipInterval.lowerBound == 0)
    // Wilson: z² / (n + z²).
    #expect(abs(agreement.flipInterval.upperBound - 3.8414588 / 53.8414588) < 1e-6)
  }

  @Test func differencesAreAsByHand() throws {
    let agreement = LabelAgreement([
      (try distribution([0.5, 0.4, 0.1]), try distribution([0.4, 0.5, 0.1])),
      (try distribution([0.8, 0.1, 0.1]), try distribution([0.6, 0.3, 0.1])),
    ])
    #expect(agreement.flips == 1 && agreement.flipRate == 0.5)
    #expect(abs(agreement.maximumFlippedMargin - 0.1) < 1e-12)
    #expect(abs(agreement.meanTotalVariation - 0.15) < 1e-12)
    #expect(abs(agreement.maximumTotalVariation - 0.2) < 1e-12)
    let first = 0.5 * log(0.5 / 0.4) + 0.4 * log(0.4 / 0.5)
    let second = 0.8 * log(0.8 / 0.6) + 0.1 * log(0.1 / 0.3)
    #expect(abs(agreement.meanDivergence - (first + second) / 2) < 1e-12)
    // Wilson's interval of 1 in 2.
    #expect(abs(agreement.flipInterval.lowerBound - 0.0945312) < 1e-6)
    #expect(abs(agreement.flipInterval.upperBound - 0.9054688) < 1e-6)
  }

  @Test func aTeacherOfOneLabelFlipsOnlyWhenCentred() throws {
    // The reference always says the first label; its second preference tells pairs apart, and the candidate's is
    // the other way round.
    let agreement = LabelAgreement([
      (try distribution([0.90, 0.08, 0.02]), try distribution([0.90, 0.02, 0.08])),
      (try distribution([0.90, 0.02, 0.08]), try distribution([0.90, 0.08, 0.02])),
    ])
    #expect(agreement.flips == 0)
    #expect(agreement.centredFlips == 2 && agreement.centredFlipRate == 1)
    #expect(abs((agreement.scoreCorrelation ?? 0) + 1) < 1e-9)
  }

  @Test func scoresThatDoNotVaryHaveNoCorrelation() throws {
    let one = try distribution([0.2, 0.3, 0.5])
    let pairs = (0..<7).map { _ in (reference: one, candidate: one) }
    #expect(LabelAgreement(pairs).scoreCorrelation == nil)
    let none = LabelAgreement([])
    #expect(none.scoreCorrelation == nil && none.flipRate == 0 && none.flipInterval == 0...1)
  }

  @Test func zeroProbabilitiesDivergeByANumber() throws {
    let agreement = LabelAgreement([(try distribution([1, 1, 0]), try distribution([0, 1, 1]))])
    #expect(agreement.meanDivergence.isFinite && agreement.meanDivergence > 30)
    #expect(agreement.centredFlips >= 0)
  }
}
