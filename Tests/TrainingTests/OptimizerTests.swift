import Basics
import CPUBackend
import Foundation
import Tensors
import Testing

@testable import Training

/// A case of `Tests/Fixtures/adamw/cases.json`: ten steps by PyTorch.
struct AdamWCase: Decodable, Sendable, CustomTestStringConvertible {
  struct Stored: Decodable, Sendable {
    let name: String
    let shape: [Int]
    let decays: Bool
    let rateFactor: Float
    let start, end, firstMoment, secondMoment: [Float]
    let gradients: [[Float]]
  }

  let name: String
  let schedule: LearningRateSchedule.Shape
  let warmUp, learningRate, weightDecay, beta2: Double
  let largestNorm: Double?
  let factors, norms: [Double]
  let parameters: [Stored]

  var testDescription: String { name }

  static func all() throws -> [AdamWCase] {
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let data = try Data(contentsOf: tests.appendingPathComponent("Fixtures/adamw/cases.json"))
    return try JSONDecoder().decode([AdamWCase].self, from: data)
  }
}

@Suite struct OptimizerTests {
  /// Largest difference, relative to the largest number of the two.
  private func difference(_ a: [Float], _ b: [Float]) -> Float {
    guard a.count == b.count else { return .infinity }
    let size = max(a.map(abs).max() ?? 0, b.map(abs).max() ?? 0)
    return zip(a, b).map { abs($0 - $1) / size }.max() ?? 0
  }

  private func corrected(_ moments: [Float], _ beta: Double) -> [Float] {
    moments.map { $0 / Float(1 - Basics.power(beta, 10)) }
  }

  private func corrected(_ moments: Tensor, _ beta: Double, on backend: CPUBackend) throws -> [Float] {
    corrected(try backend.read(moments), beta)
  }

  @Test(arguments: try AdamWCase.all())
  func tenStepsGiveWhatPyTorchGives(_ expected: AdamWCase) throws {
    let backend = try CPUBackend(threads: 2)
    let parameters = try expected.parameters.map { stored in
      try Parameter(
        stored.name, backend.upload(stored.start, shape: Shape(stored.shape)), decays: stored.decays,
        rateFactor: stored.rateFactor, on: backend)
    }
    var settings = Optimizer.Settings()
    settings.learningRate = expected.learningRate
    settings.weightDecay = expected.weightDecay
    settings.beta2 = expected.beta2
    settings.largestNorm = expected.largestNorm
    let optimizer = try Optimizer(parameters, settings, on: backend)
    let schedule = LearningRateSchedule(
      expected.schedule, totalSteps: expected.norms.count, warmUp: expected.warmUp)
    for (step, norm) in expected.norms.enumerated() {
      for (parameter, stored) in zip(parameters, expected.parameters) {
        try backend.write(stored.gradients[step], to: parameter.gradient)
      }
      let found = try optimizer.update(rateFactor: schedule.factor(step: step + 1))
      #expect(abs(found - norm) <= 1e-6 * norm)
    }
    #expect(optimizer.step == expected.norms.count)
    for (place, stored) in expected.parameters.enumerated() {
      #expect(difference(try backend.read(parameters[place].value), stored.end) < 2e-6)
      // Corrected for their start at 0, each by its own β: PyTorch's are Doubles, the backend's Floats.
      #expect(
        difference(
          try corrected(optimizer.firstMoments[place], Double(Float(0.9)), on: backend),
          corrected(stored.firstMoment, 0.9)) < 4e-6)
      #expect(
        difference(
          try corrected(optimizer.secondMoments[place], Double(Float(expected.beta2)), on: backend),
          corrected(stored.secondMoment, expected.beta2)) < 4e-6)
      #expect(try backend.read(parameters[place].gradient).allSatisfy { $0 == 0 })
    }
  }

  @Test(arguments: try AdamWCase.all())
  func scheduleFactorsAreThoseOfPyTorch(_ expected: AdamWCase) {
    let schedule = LearningRateSchedule(
      expected.schedule, totalSteps: expected.factors.count, warmUp: expected.warmUp)
    for (place, factor) in expected.factors.enumerated() {
      #expect(abs(schedule.factor(step: place + 1) - factor) < 1e-9)
    }
  }

  @Test(arguments: [Float.infinity, -.infinity, .nan])
  func gradientThatIsNotFiniteIsNamedAndUpdatesNothing(_ value: Float) throws {
    let task = try ToyTask()
    let optimizer = try Optimizer(task.parameters, Optimizer.Settings(), on: task.backend)
    let before = try task.bits()
    try task.backend.write([1, 2, value, 3, 4], to: task.parameters[1].gradient)
    let error = thrownError { try optimizer.update(rateFactor: 1) }
    #expect(error?.code == .diverged && error?.field == "first.bias" && error?.position == "step 1")
    #expect(try task.bits() == before && optimizer.step == 0)
  }
}

@Suite struct ScheduleTests {
  @Test func rateRisesThenFallsInStraightLines() {
    let schedule = LearningRateSchedule(.linear, totalSteps: 10, warmUp: 0.2)
    let factors = (1...10).map { schedule.factor(step: $0) }
    #expect(schedule.warmUpSteps == 2)
    #expect(factors[..<2] == [0.5, 1])
    for (factor, expected) in zip(factors[2...], stride(from: 8.0, to: 0, by: -1)) {
      #expect(factor == expected / 9)
    }
  }

  @Test func warmUpIsRoundedAndAtLeastOneStep() {
    func steps(_ total: Int, _ share: Double) -> Int {
      LearningRateSchedule(.linear, totalSteps: total, warmUp: share).warmUpSteps
    }
    let found: [Int] = [steps(100, 0), steps(3, 0.01), steps(25, 0.1), steps(24, 0.1), steps(7, 1)]
    #expect(found == [0, 1, 3, 2, 7])
  }

  @Test(arguments: LearningRateSchedule.Shape.allCases, [0, 0.1, 0.5, 1])
  func noStepHasARateOfZeroOrAboveOne(_ shape: LearningRateSchedule.Shape, warmUp: Double) {
    for total in 1...40 {
      let schedule = LearningRateSchedule(shape, totalSteps: total, warmUp: warmUp)
      #expect((1...total).allSatisfy { schedule.factor(step: $0) > 0 && schedule.factor(step: $0) <= 1 })
    }
  }
}

@Suite struct EpochOrderTests {
  @Test(arguments: [0, 1, 2, 3, 10, 1_000])
  func everyRowComesOnce(_ count: Int) {
    #expect(EpochOrder.rows(count: count, seed: 3, epoch: 2).sorted() == Array(0..<count))
  }

  @Test func orderDependsOnSeedAndEpochAlone() {
    let order = EpochOrder.rows(count: 50, seed: 3, epoch: 2)
    #expect(order == EpochOrder.rows(count: 50, seed: 3, epoch: 2))
    #expect(order != EpochOrder.rows(count: 50, seed: 3, epoch: 3))
    #expect(order != EpochOrder.rows(count: 50, seed: 4, epoch: 2))
  }

  @Test func allOrdersAreEquallyLikely() {
    var counts: [[Int]: Int] = [:]
    for epoch in 0..<6_000 { counts[EpochOrder.rows(count: 3, seed: 1, epoch: epoch), default: 0] += 1 }
    // 1,000 expected of each of six, deviation 29.
    #expect(counts.count == 6 && counts.values.allSatisfy { (870...1_130).contains($0) })
  }

  @Test func everyStepHasADropoutKeyOfItsOwn() {
    let keys = (1...1_000).map { StepContext(step: $0, epoch: 1, seed: 1).dropoutKey }
    #expect(Set(keys).count == 1_000)
    #expect(keys[0] != StepContext(step: 1, epoch: 1, seed: 2).dropoutKey)
  }
}
