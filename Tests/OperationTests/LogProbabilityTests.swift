import Basics
import Tensors
import TestSupport
import Testing

extension Operations {
  @Suite struct LogProbabilityTests {
    static func check(
      _ actual: LogProbabilityRow, _ logits: [Float], _ request: LogProbabilityRequest, _ comment: String
    ) {
      let expected = Reference.logProbabilities(logits, request)
      #expect(actual.topIDs == expected.topIDs, "\(comment)")
      let top = Judge.complaint(
        actual.topLogits, expected.topLogits,
        bounds: expected.topLogits.map { request.penalized.isEmpty ? 0 : $0.magnitude * Tolerances.penalty })
      #expect(top == nil, "\(comment), top")
      let size =
        logits.reduce(0) { max($0, Double($1).magnitude) } * Double(max(1, request.repetitionPenalty))
      let bound = Tolerances.logSumExp(width: logits.count, size: size)
      let hot = Tolerances.logSumExp(width: logits.count, size: size / Double(min(1, request.temperature)))
      let sums = Judge.complaint(
        [actual.logSumExp, actual.logSumExpAtTemperature],
        [expected.logSumExp, expected.logSumExpAtTemperature], bounds: [bound, hot])
      #expect(sums == nil, "\(comment), sums")
      let chosen = Judge.complaint(
        actual.chosenLogProbabilities, expected.chosen, bounds: expected.chosen.map { _ in 2 * bound })
      #expect(chosen == nil, "\(comment), chosen")
    }

    static let requests: [LogProbabilityRequest] = [
      LogProbabilityRequest(topCount: 0),
      LogProbabilityRequest(topCount: 1),
      LogProbabilityRequest(temperature: 0.7, topCount: 5, chosen: [0]),
      LogProbabilityRequest(temperature: 2.5, topCount: 100, chosen: [3, 3, 1], penalized: [0, 2, 5]),
      LogProbabilityRequest(topCount: 5, chosen: [1, 0], penalized: [1, 0, 4], repetitionPenalty: 1.3),
      LogProbabilityRequest(
        temperature: 0.1, topCount: 5, chosen: [5], penalized: [5], repetitionPenalty: 0.5),
      LogProbabilityRequest(topCount: 2, chosen: [2], penalized: [2, 2, 2], repetitionPenalty: 2),
      LogProbabilityRequest(topCount: 1_000_000, chosen: []),
    ]

    @Test(arguments: BackendUnderTest.all, [6, 33, 500, 3001])
    func rowsFollowTheReference(_ backend: BackendUnderTest, _ width: Int) throws {
      let backend = try backend.backend
      var random = TestRandom(UInt64(width))
      let logits = random.activations(Self.requests.count * width).map { $0 * 3 }
      for view in [false, true] {
        let input = view ? try backend.columns(logits, width) : try backend.matrix(logits, width)
        let rows = try backend.logProbabilities(input, Self.requests)
        try #require(rows.count == Self.requests.count)
        for (index, request) in Self.requests.enumerated() {
          Self.check(
            rows[index], Array(logits[(index * width)..<(index * width + width)]), request,
            "request \(index) of width \(width)")
        }
      }
    }

    /// A mask of the ids for which `isAllowed` holds.
    static func mask(_ width: Int, _ isAllowed: (Int) -> Bool) -> AllowedTokens {
      var words = [UInt32](repeating: 0, count: (width + 31) / 32)
      for id in 0..<width where isAllowed(id) { words[id / 32] |= 1 << UInt32(id % 32) }
      return AllowedTokens(words: words)
    }

    @Test(arguments: BackendUnderTest.all, [6, 33, 500, 9001])
    func maskedRowsSeeOnlyWhatIsAllowed(_ backend: BackendUnderTest, _ width: Int) throws {
      let backend = try backend.backend
      var random = TestRandom(UInt64(width) + 9)
      let masks: [AllowedTokens?] = [
        Self.mask(width) { _ in true }, Self.mask(width) { $0 % 3 == 1 }, nil,
        Self.mask(width) { $0 == width - 1 },
        Self.mask(width) { $0 == 5 || $0 == 2 }, Self.mask(width) { $0 >= width / 2 },
        Self.mask(width) { $0 % 3 == 1 },
      ]
      for shape in Self.requests {
        let requests = masks.map { mask in
          var request = shape
          request.allowed = mask
          if let mask { request.chosen = request.chosen.filter(mask.contains) }
          return request
        }
        let logits = random.activations(requests.count * width).map { $0 * 3 }
        for view in [false, true] {
          let input = view ? try backend.columns(logits, width) : try backend.matrix(logits, width)
          let rows = try backend.logProbabilities(input, requests)
          try #require(rows.count == requests.count)
          for (index, request) in requests.enumerated() {
            Self.check(
              rows[index], Array(logits[(index * width)..<(index * width + width)]), request,
              "mask \(index) of width \(width)")
            #expect(rows[index].topIDs.allSatisfy { request.allowed?.contains($0) ?? true })
          }
        }
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func tiesGoToTheLowerId(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      for width in [8, 100, 1000] {
        let logits = (0..<width).map { Float($0 * 7 % 4) - 1 }
        let request = LogProbabilityRequest(topCount: 12, chosen: [0])
        let rows = try backend.logProbabilities(backend.matrix(logits, width), [request])
        try #require(rows.count == 1)
        Self.check(rows[0], logits, request, "width \(width)")
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func extremeLogitsStayExact(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      for logits in [[Float(-1e30), 2, -1e30, 1], [1000, 999, -1000, 0], [-500, -501, -502, -503]] {
        let request = LogProbabilityRequest(topCount: 4, chosen: [1, 3])
        let rows = try backend.logProbabilities(backend.matrix(logits, 4), [request])
        try #require(rows.count == 1)
        let expected = Reference.logProbabilities(logits, request)
        #expect(rows[0].topIDs == expected.topIDs)
        #expect((Double(rows[0].logSumExp) - expected.logSumExp).magnitude < 1e-3)
        for (a, b) in zip(rows[0].chosenLogProbabilities, expected.chosen) {
          #expect((Double(a) - b).magnitude < 1e-3)
        }
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func aRowIsTheSameBitsInEveryBatch(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let width = 777
      var random = TestRandom(6)
      let input = try backend.matrix(random.activations(33 * width), width)
      let request = LogProbabilityRequest(temperature: 0.8, topCount: 5, chosen: [1, 776])
      let whole = try backend.logProbabilities(input, Array(repeating: request, count: 33))
      try #require(whole.count == 33)
      for rows in [0..<1, 32..<33, 4..<9, 10..<26] {
        let some = try backend.logProbabilities(
          input.rows(rows), Array(repeating: request, count: rows.count))
        #expect(some == Array(whole[rows]))
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func requestsThatDoNotFitThrow(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let logits = try backend.matrix([1, 2, 3, 4], 4)
      let wrong: [[LogProbabilityRequest]] = [
        [], [LogProbabilityRequest(), LogProbabilityRequest()], [LogProbabilityRequest(temperature: 0)],
        [LogProbabilityRequest(temperature: .nan)], [LogProbabilityRequest(topCount: -1)],
        [LogProbabilityRequest(chosen: [4])], [LogProbabilityRequest(chosen: [-1])],
        [LogProbabilityRequest(penalized: [4])], [LogProbabilityRequest(repetitionPenalty: 0)],
        [LogProbabilityRequest(allowed: AllowedTokens(words: []))],
        [LogProbabilityRequest(allowed: AllowedTokens(words: [1, 0]))],
      ]
      for requests in wrong { expectShapeMismatch { _ = try backend.logProbabilities(logits, requests) } }
    }
  }

  @Suite struct GumbelTests {
    @Test(arguments: BackendUnderTest.all)
    func theIdOfTheHighestPerturbedLogitWins(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      for width in [1, 5, 97, 1500] {
        var random = TestRandom(UInt64(width))
        let rows = 8
        let logits = random.activations(rows * width)
        let temperatures = (0..<rows).map { 0.3 + Float($0) * 0.4 }
        let keys = (0..<rows).map { _ in random.next() }
        let positions = (0..<rows).map { $0 == 0 ? UInt64.max : UInt64($0 * 1000) }
        let ids = try backend.gumbelArgmax(
          backend.matrix(logits, width), temperatures: temperatures, keys: keys, positions: positions)
        try #require(ids.count == rows)
        for row in 0..<rows {
          let scores = Reference.gumbelScores(
            Array(logits[(row * width)..<(row * width + width)]), temperature: temperatures[row],
            key: keys[row], position: positions[row])
          try #require(scores.indices.contains(Int(ids[row])))
          let best = scores.max() ?? 0
          #expect(best - scores[Int(ids[row])] <= Tolerances.gumbel * (1 + best.magnitude), "row \(row)")
        }
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func aMaskedDrawIsTheBestOfTheAllowed(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      for width in [33, 1500, 9001] {
        var random = TestRandom(UInt64(width) + 1)
        let logits = random.activations(6 * width)
        let masks = (0..<6).map { row -> AllowedTokens? in
          row == 3 ? nil : LogProbabilityTests.mask(width) { row == 5 ? $0 == 30 : $0 % (row + 2) == 1 }
        }
        let ids = try backend.gumbelArgmax(
          backend.matrix(logits, width), temperatures: [Float](repeating: 0.8, count: 6),
          keys: (0..<6).map { UInt64($0) }, positions: [UInt64](repeating: 12, count: 6), allowed: masks)
        try #require(ids.count == 6)
        for row in 0..<6 {
          let scores = Reference.gumbelScores(
            Array(logits[(row * width)..<(row * width + width)]), temperature: 0.8, key: UInt64(row),
            position: 12, allowed: masks[row])
          let best = scores.max() ?? 0
          try #require(scores.indices.contains(Int(ids[row])))
          #expect(best - scores[Int(ids[row])] <= Tolerances.gumbel * (1 + best.magnitude), "row \(row)")
        }
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func frequenciesFollowTheSoftmax(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let logits: [Float] = [2, 0, 1, -1]
      let draws = 2000
      let ids = try backend.gumbelArgmax(
        backend.matrix((0..<draws).flatMap { _ in logits }, 4),
        temperatures: [Float](repeating: 2, count: draws), keys: [UInt64](repeating: 77, count: draws),
        positions: (0..<draws).map { UInt64($0) })
      let expected = Reference.softmax(logits.doubles.map { $0 / 2 }, width: 4).values
      for id in 0..<4 {
        let share = Double(ids.count { $0 == Int32(id) }) / Double(draws)
        // Four standard deviations of a share of 2000 draws.
        #expect((share - expected[id]).magnitude < 4 * (0.25 / Double(draws)).squareRoot(), "id \(id)")
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func argumentsThatDoNotFitThrow(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let logits = try backend.matrix([1, 2, 3, 4], 2)
      expectShapeMismatch {
        _ = try backend.gumbelArgmax(logits, temperatures: [1], keys: [1, 2], positions: [0, 0])
      }
      expectShapeMismatch {
        _ = try backend.gumbelArgmax(logits, temperatures: [1, 1], keys: [1], positions: [0, 0])
      }
      expectShapeMismatch {
        _ = try backend.gumbelArgmax(logits, temperatures: [1, 1], keys: [1, 2], positions: [0])
      }
      expectShapeMismatch {
        _ = try backend.gumbelArgmax(
          logits, temperatures: [1, 1], keys: [1, 2], positions: [0, 0], allowed: [nil])
      }
    }
  }
}
