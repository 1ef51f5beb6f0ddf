import Basics
import Testing

@Suite struct PhiloxTests {
  /// The known answers of Random123's `kat_vectors` for philox4x32-10.
  struct KnownAnswer: Sendable {
    let counter: (low: UInt64, high: UInt64)
    let key: UInt64
    let words: SIMD4<UInt32>
  }

  static let knownAnswers = [
    KnownAnswer(counter: (0, 0), key: 0, words: [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]),
    KnownAnswer(
      counter: (.max, .max), key: .max, words: [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD]),
    // The digits of pi.
    KnownAnswer(
      counter: (0x85A3_08D3_243F_6A88, 0x0370_7344_1319_8A2E), key: 0x299F_31D0_A409_3822,
      words: [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1]),
  ]

  @Test(arguments: knownAnswers)
  func wordsEqualThePublishedOnes(_ answer: KnownAnswer) {
    #expect(Philox(key: answer.key).words(answer.counter.low, answer.counter.high) == answer.words)
  }

  @Test func uniformNumbersLieStrictlyInsideTheUnitIntervalAndAverageAHalf() {
    let philox = Philox(key: 7)
    let draws = (0..<10_000).map { philox.uniform(UInt64($0)) }
    #expect(draws.allSatisfy { $0 > 0 && $0 < 1 })
    let mean = draws.reduce(0, +) / Double(draws.count)
    // The standard error of the mean is 0.0029.
    #expect(abs(mean - 0.5) < 0.012)
  }

  @Test func everyPartOfCounterAndKeyChangesTheWords() {
    let words = Philox(key: 1).words(2, 3)
    #expect(Philox(key: 1 << 40 | 1).words(2, 3) != words)
    #expect(Philox(key: 1).words(1 << 40 | 2, 3) != words)
    #expect(Philox(key: 1).words(2, 1 << 40 | 3) != words)
    #expect(Philox(key: 1).words(2, 4) != words)
  }

  @Test func uniformDependsOnBothHalvesOfTheCounter() {
    let philox = Philox(key: 3)
    #expect(philox.uniform(1) != philox.uniform(2))
    #expect(philox.uniform(1, 1) != philox.uniform(1, 2))
    #expect(philox.uniform(1) == Philox(key: 3).uniform(1))
  }
}
