import Basics
import Tensors
import TestSupport
import Testing

@testable import Generation

/// What a step's phases add up to, and how the model's time is divided.
struct StepClockTests {
  /// A clock that moves on by a prime more at each reading, so that no two stretches are alike.
  private final class Ticks: @unchecked Sendable {
    private var time: UInt64 = 1000
    private var stride: UInt64 = 3
    func next() -> UInt64 {
      time += stride
      stride += 7
      return time
    }
    var now: UInt64 { time }
  }

  @Test func phasesAndOtherAreTheWallTimeExactly() {
    var times = PhaseTimes()
    for (index, phase) in PhaseTimes.Phase.allCases.enumerated() { times.add(UInt64(index + 1), to: phase) }
    times.wallNanoseconds = 100
    let sum = PhaseTimes.Phase.allCases.reduce(0) { $0 + times[$1] }
    #expect(sum == 36)
    #expect(times.otherNanoseconds == 64)
    times.wallNanoseconds = 20
    #expect(times.otherNanoseconds == -16)
  }

  @Test(arguments: [(3, 5), (0, 4), (512, 0), (0, 0), (1, 1)])
  func modelTimeIsDividedByRowsWithoutRemainder(prefill: Int, decode: Int) {
    var times = PhaseTimes()
    times.addModel(nanoseconds: 1_000_003, attention: 200_000, prefillRows: prefill, decodeRows: decode)
    #expect(times[.attention] == 200_000)
    #expect(times[.prefill] + times[.decode] == 800_003)
    if prefill + decode > 0 {
      #expect(times[.prefill] == 800_003 * UInt64(prefill) / UInt64(prefill + decode))
    }
  }

  @Test func attentionNeverTakesMoreThanTheModelDid() {
    var times = PhaseTimes()
    times.addModel(nanoseconds: 10, attention: 25, prefillRows: 1, decodeRows: 0)
    #expect(times[.attention] == 10)
    #expect(times[.prefill] == 0)
  }

  @Test func aRunsPhasesFillItAndItsSpansLieInOrder() throws {
    let limits = Engine.Limits(sequences: 3, stepTokens: 16, context: 64, cacheTokens: 256)
    let ticks = Ticks()
    let clock = StepClock(FakeRunner(limits: limits), keepsSpans: true, now: { ticks.next() })
    let engine = Engine(runner: clock, tokenizer: nil, limits: limits)
    for seed in 0..<3 {
      try clock.prepare {
        _ = try engine.add(
          GenerationRequest(prompt: (0..<20).map { Int32($0 * (seed + 1) % 61) }, maxTokens: 5))
      }
    }
    var stepTime: UInt64 = 0
    var finished = 0
    while !engine.isIdle {
      let before = ticks.now
      let tokens = { (engine.statistics.prefillTokens, engine.statistics.decodeTokens) }
      for case .finished in try clock.measure(tokens, { try engine.step() }) { finished += 1 }
      stepTime += ticks.now - before
    }
    #expect(finished == 3)
    for phase in [PhaseTimes.Phase.prompts, .schedule, .prefill, .decode, .mask, .readBack, .sample] {
      #expect(clock.times[phase] > 0, "\(phase)")
    }
    let inSteps = PhaseTimes.Phase.allCases.reduce(0) { $0 + clock.times[$1] } - clock.times[.prompts]
    // A step's clock starts with its own first reading, so what lies before that reading is outside.
    #expect(inSteps <= stepTime)
    #expect(clock.spans.reduce(0) { $0 + $1.nanoseconds } <= inSteps)
    for (one, next) in zip(clock.spans, clock.spans.dropFirst()) {
      #expect(one.startNanoseconds + one.nanoseconds <= next.startNanoseconds)
    }
    let names = Set(clock.spans.map(\.name))
    #expect(names.isSuperset(of: ["schedule", "prefill", "decode", "mask", "read-back"]))
  }

  @Test func aMeasuredEngineGivesTheSameTokens() throws {
    let limits = Engine.Limits(sequences: 2, stepTokens: 8, context: 64, cacheTokens: 256)
    let request = GenerationRequest(prompt: [5, 9, 2, 44], maxTokens: 12)
    func tokens(_ runner: any StepRunner) throws -> [Int32] {
      let engine = Engine(runner: runner, tokenizer: nil, limits: limits)
      _ = try engine.add(request)
      while !engine.isIdle {
        for case .finished(_, let completion) in try engine.step() { return completion.tokens }
      }
      return []
    }
    let plain = try tokens(FakeRunner(limits: limits))
    #expect(plain.count == 12)
    #expect(try tokens(StepClock(FakeRunner(limits: limits))) == plain)
  }
}
