import Foundation
import Testing

@testable import Scoring

@Suite struct OrdinalHeadTests {
  /// α = 5, thresholds 0.1, 0.4, 0.5.
  static let parameters = [log(5.0), 0.1, log(0.3), log(0.1)]

  @Test(arguments: [-1, -0.2, 0, 0.25, 0.45, 0.8, 1]) func probabilitiesAreThoseOfTheModel(cosine: Double)
    throws
  {
    let head = try #require(OrdinalHead(parameters: Self.parameters, order: [0, 1, 2, 3]))
    let found = head.probabilities(cosine: cosine)
    let above = [0.1, 0.4, 0.5].map { 1 / (1 + exp(-5 * (cosine - $0))) }
    let expected = [1 - above[0], above[0] - above[1], above[1] - above[2], above[2]]
    for (probability, other) in zip(found, expected) { #expect(abs(probability - other) < 1e-12) }
    #expect(abs(found.reduce(0, +) - 1) < 1e-12)
  }

  @Test func ranksFindTheirLabels() throws {
    let straight = try #require(OrdinalHead(parameters: Self.parameters, order: [0, 1, 2, 3]))
    let reversed = try #require(OrdinalHead(parameters: Self.parameters, order: [3, 2, 1, 0]))
    #expect(straight.probabilities(cosine: 0.3).reversed() == reversed.probabilities(cosine: 0.3))
  }

  @Test func improbableRanksKeepTheirDigits() throws {
    let head = try #require(OrdinalHead(parameters: [log(200), 0.1, log(0.1)], order: [0, 1, 2]))
    let best = head.probabilities(cosine: -0.5)[2]
    #expect(abs(log(best) - 200 * (-0.5 - 0.2)) < 1e-9)
  }

  @Test func badParametersAreRefused() {
    for parameters in [[], [0.1], [.nan, 0], [800, 0], [0, .infinity], [0, 0, 800]] {
      #expect(OrdinalHead(parameters: parameters, order: Array(parameters.indices)) == nil)
    }
    #expect(OrdinalHead(parameters: [0, 0], order: [0, 1, 2]) == nil)
  }
}
