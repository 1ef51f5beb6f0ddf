import Basics
import Foundation
import Testing

@testable import Relevance

/// What scipy finds for distributions and labels; Tests/Fixtures/calibrations.
struct CalibrationCase: Decodable {
  struct Quality: Decodable {
    var logLoss: Double
    var calibrationError: Double
    var accuracy: Double
  }

  var name: String
  var probabilities: [[Double]]
  var labels: [Int]
  var temperature: Double
  var bias: [Double]
  var loss: Double
  var before: Quality
  var after: Quality

  var examples: [CalibrationExample] {
    zip(probabilities, labels).enumerated().map {
      CalibrationExample(probabilities: $1.0, label: $1.1, group: String($0))
    }
  }

  static func all() throws -> [CalibrationCase] {
    let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "Fixtures/calibrations/cases.json")
    return try JSONDecoder().decode([CalibrationCase].self, from: Data(contentsOf: file))
  }

  static func named(_ name: String) throws -> CalibrationCase {
    try #require(all().first { $0.name == name })
  }
}

@Suite struct CalibrationFitTests {
  /// The fit's own objective, written down a second time.
  private func loss(_ item: CalibrationCase, _ calibration: LabelCalibration) throws -> Double {
    var sum = calibration.bias.reduce(0) { $0 + 0.05 * $1 * $1 }
    for (probabilities, label) in zip(item.probabilities, item.labels) {
      sum -= log(try calibration.apply(probabilities)[label])
    }
    return sum
  }

  @Test func fitsReachTheMinimumThatScipyFinds() throws {
    let cases = try CalibrationCase.all()
    #expect(cases.count >= 7)
    for item in cases {
      let found = try CalibrationFit.fit(item.examples)
      #expect(abs(found.temperature / item.temperature - 1) < 1e-4, "\(item.name)")
      for (bias, expected) in zip(found.bias, item.bias) {
        #expect(abs(bias - expected) < 1e-4 * max(1, abs(expected)), "\(item.name)")
      }
      #expect(abs(found.bias.reduce(0, +)) < 1e-6, "\(item.name)")
      #expect(try loss(item, found) < item.loss + 1e-7 * max(1, item.loss), "\(item.name)")
    }
  }

  @Test func qualityIsNumpys() throws {
    for item in try CalibrationCase.all() {
      let calibration = try LabelCalibration(temperature: item.temperature, bias: item.bias)
      for (found, expected) in [
        (CalibrationQuality(item.examples), item.before),
        (try CalibrationQuality(item.examples, calibratedBy: calibration), item.after),
      ] {
        #expect(abs(found.logLoss - expected.logLoss) < 1e-6 * max(1, expected.logLoss), "\(item.name)")
        #expect(abs(found.calibrationError - expected.calibrationError) < 1e-6, "\(item.name)")
        #expect(abs(found.accuracy - expected.accuracy) < 1e-12, "\(item.name)")
        #expect(found.count == item.labels.count)
      }
    }
  }

  @Test func noSmallStepFromAFitLowersTheLoss() throws {
    for item in try CalibrationCase.all() {
      let found = try CalibrationFit.fit(item.examples)
      let least = try loss(item, found)
      for index in 0...found.bias.count {
        for step in [-1e-3, 1e-3] {
          var (beta, bias) = (1 / found.temperature, found.bias)
          if index == 0 { beta += step } else { bias[index - 1] += step }
          let temperature = min(max(1 / beta, 0.01), 100)
          let other = try LabelCalibration(temperature: temperature, bias: bias)
          #expect(try loss(item, other) > least - 1e-9, "\(item.name) \(index) \(step)")
        }
      }
    }
  }

  @Test func anErrorlessTeacherEndsAtTheSharpestTemperature() throws {
    let item = try CalibrationCase.named("labels told apart without an error")
    #expect(try CalibrationFit.fit(item.examples).temperature == 0.01)
    let misleading = try CalibrationCase.named("probabilities that mislead")
    #expect(try CalibrationFit.fit(misleading.examples).temperature == 100)
  }

  @Test func fewExamplesAndForeignLabelsAreRefused() throws {
    let item = try CalibrationCase.named("overconfident")
    let few = thrownError { _ = try CalibrationFit.fit(Array(item.examples.prefix(19))) }
    #expect(few?.code == .invalidArgument)
    #expect(few?.message.contains("19") == true)
    for bad in [
      CalibrationExample(probabilities: [0.5, 0.5], label: 0, group: "g"),
      CalibrationExample(probabilities: [0.5, 0.2, 0.3], label: 3, group: "g"),
      CalibrationExample(probabilities: [0.5, 0.2, .nan], label: 0, group: "g"),
      CalibrationExample(probabilities: [0.5, -0.2, 0.7], label: -1, group: "g"),
    ] {
      #expect(thrownError { _ = try CalibrationFit.fit(item.examples + [bad]) }?.code == .invalidArgument)
    }
  }

  @Test func heldOutFiguresComeFromFitsWithoutTheGroup() throws {
    let item = try CalibrationCase.named("overconfident")
    let heldOut = try #require(try CalibrationQuality.heldOut(item.examples))
    let after = try CalibrationQuality(item.examples, calibratedBy: CalibrationFit.fit(item.examples))
    #expect(heldOut.count == item.examples.count)
    #expect(heldOut.logLoss > after.logLoss)
    #expect(heldOut.logLoss < CalibrationQuality(item.examples).logLoss)
    // By hand: the fifth group's pairs by a fit of all others.
    let groups = item.examples.enumerated().map {
      CalibrationExample(
        probabilities: $1.probabilities, label: $1.label, group: "query \($0 / 16)")
    }
    var distributions: [(probabilities: [Double], label: Int)] = []
    for fold in 0..<5 {
      let own = (16 * fold)..<(16 * fold + 16)
      let fit = try CalibrationFit.fit(groups.indices.filter { !own.contains($0) }.map { groups[$0] })
      for index in own {
        distributions.append((try fit.apply(groups[index].probabilities), groups[index].label))
      }
    }
    #expect(try CalibrationQuality.heldOut(groups) == CalibrationQuality(distributions))
    let oneGroup = item.examples.map {
      CalibrationExample(probabilities: $0.probabilities, label: $0.label, group: "q")
    }
    #expect(try CalibrationQuality.heldOut(oneGroup) == nil)
  }

  @Test func randomFitsNeverWorsenTheLoss() throws {
    var random = Draw(seed: 11)
    for round in 0..<60 {
      let labels = 2 + round % 4
      let examples = (0..<(20 + round)).map { index in
        let weights = (0..<labels).map { _ in exp(-60 * Double.random(in: 0...1, using: &random)) }
        let total = weights.reduce(0, +)
        return CalibrationExample(
          probabilities: weights.map { $0 / total }, label: Int.random(in: 0..<labels, using: &random),
          group: "\(index)")
      }
      let found = try CalibrationFit.fit(examples)
      #expect(found.temperature.isFinite && found.bias.allSatisfy(\.isFinite))
      let before = CalibrationQuality(examples).logLoss
      #expect(try CalibrationQuality(examples, calibratedBy: found).logLoss <= before + 1e-9)
    }
  }
}
