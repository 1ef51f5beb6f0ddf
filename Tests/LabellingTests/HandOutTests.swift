import Relevance
import TestSupport
import Testing

@testable import Labelling

/// Pairs handed out to devices by random schedules, without threads.
@Suite struct HandOutTests {
  static func work(_ row: Int, query: String) -> PairWork {
    PairWork(row: row, line: row + 1, pair: Pair(pairID: "p\(row)", query: query, title: "t"))
  }

  /// Devices that take, finish and fail at random; every pair must come out once.
  struct Run {
    let capacities: [Int]
    var handOut: HandOut
    var random: TestRandom
    var held: [[PairWork]]
    var lost: Set<Int> = []
    var finished: [Int] = []
    /// Devices that took pairs of a query.
    var homes: [String: Set<Int>] = [:]

    init(_ capacities: [Int], seed: UInt64) {
      self.capacities = capacities
      handOut = HandOut(capacities: capacities)
      random = TestRandom(seed)
      held = capacities.map { _ in [] }
    }

    mutating func take(_ device: Int) {
      let (waiting, before) = (handOut.waitingCount, held[device].count)
      let works = handOut.take(device)
      if lost.contains(device) { return #expect(works.isEmpty) }
      held[device] += works
      for work in works { homes[work.pair.query, default: []].insert(device) }
      #expect(held[device].count <= capacities[device])
      #expect(handOut.held(by: device) == held[device].count)
      #expect(handOut.waitingCount == waiting - works.count)
      // No device lacks work while another has some waiting.
      if before == 0, waiting > 0 { #expect(!works.isEmpty) }
    }

    mutating func finish(_ device: Int) {
      guard let index = held[device].indices.randomElement(using: &random) else { return }
      let work = held[device].remove(at: index)
      let (first, second) = (
        handOut.finish(device, row: work.row), handOut.finish(device, row: work.row)
      )
      #expect(first && !second)
      finished.append(work.row)
    }

    mutating func lose(_ device: Int) {
      guard lost.count + 1 < capacities.count, lost.insert(device).inserted else { return }
      handOut.lose(device)
      held[device] = []
    }
  }

  @Test("Nothing is lost and nothing comes twice, whatever devices do, and none idles while pairs wait")
  func randomSchedules() {
    for seed in 0..<120 as Range<UInt64> {
      var random = TestRandom(seed &* 7919)
      let capacities = (0..<Int.random(in: 1...4, using: &random)).map { _ in
        Int.random(in: 1...9, using: &random)
      }
      var run = Run(capacities, seed: seed)
      let total = Int.random(in: 0...300, using: &random)
      let longest = [1, 3, 20, 400][Int(seed % 4)]
      var (submitted, query, left) = (0, 0, 0)
      var steps = 0
      while submitted < total || !run.handOut.isEmpty, steps < 50_000 {
        steps += 1
        let device = Int.random(in: 0..<capacities.count, using: &random)
        switch Int.random(in: 0..<20, using: &random) {
        case 0..<4:
          var inFlight = submitted - run.finished.count
          while submitted < total, inFlight < run.handOut.capacity {
            if left == 0 { (query, left) = (query + 1, Int.random(in: 1...longest, using: &random)) }
            run.handOut.submit(HandOutTests.work(submitted, query: "q\(query)"))
            (submitted, left, inFlight) = (submitted + 1, left - 1, inFlight + 1)
          }
          run.handOut.distribute()
        case 4..<12: run.take(device)
        case 12..<19: run.finish(device)
        default: if seed % 3 == 0 { run.lose(device) }
        }
      }
      #expect(run.finished.sorted() == Array(0..<total), "seed \(seed)")
      #expect(run.handOut.isEmpty && run.handOut.waitingCount == 0)
      let counted = capacities.indices.reduce(0) { $0 + run.handOut.finished(by: $1) }
      #expect(counted == total)
      // A query is on more than one device only where it was divided for want of another, or a device was lost.
      let extra = run.homes.values.reduce(0) { $0 + $1.count - 1 }
      if run.lost.isEmpty { #expect(extra <= run.handOut.splits, "seed \(seed)") }
    }
  }

  @Test("Queries stay whole on their devices as long as there are many of them")
  func togetherness() {
    var run = Run([8, 8], seed: 5)
    var (row, query) = (0, 0)
    // Both devices work at one pace; the end is left out.
    for _ in 0..<400 {
      while row - run.finished.count < run.handOut.capacity {
        for _ in 0..<4 {
          run.handOut.submit(HandOutTests.work(row, query: "q\(query)"))
          row += 1
        }
        query += 1
      }
      run.handOut.distribute()
      for device in 0..<2 { run.take(device) }
      for device in 0..<2 { run.finish(device) }
    }
    #expect(run.finished.count == 800)
    #expect(run.handOut.splits == 0 && run.homes.values.allSatisfy { $0.count == 1 })
  }

  @Test(
    "Few pairs are divided evenly, by whole queries where these fit",
    arguments: [([10], [5, 5], 1), ([4, 4], [4, 4], 0), ([6, 2, 2, 2], [6, 6], 0), ([1], [1, 0], 0)])
  func fewPairs(_ queries: [Int], _ expected: [Int], _ splits: Int) {
    var run = Run([32, 32], seed: 1)
    var row = 0
    for (query, count) in queries.enumerated() {
      for _ in 0..<count {
        run.handOut.submit(HandOutTests.work(row, query: "q\(query)"))
        row += 1
      }
    }
    run.handOut.distribute()
    for device in 0..<2 { run.take(device) }
    #expect(run.held.map(\.count) == expected)
    #expect(run.handOut.splits == splits)
  }

  @Test("One query of many pairs is divided, and more of it goes where it is already")
  func oneQuery() {
    var run = Run([4, 4, 4], seed: 1)
    for row in 0..<24 { run.handOut.submit(HandOutTests.work(row, query: "q")) }
    run.handOut.distribute()
    for device in 0..<3 { run.take(device) }
    #expect(run.held.map(\.count) == [4, 4, 4])
    run.finish(2)
    run.handOut.submit(HandOutTests.work(24, query: "q"))
    run.handOut.distribute()
    run.take(2)
    #expect(run.held.map(\.count) == [4, 4, 4])
  }

  @Test("What the last device had is kept when it is lost")
  func lastDevice() {
    var handOut = HandOut(capacities: [2, 2])
    for row in 0..<4 { handOut.submit(HandOutTests.work(row, query: "q")) }
    handOut.distribute()
    _ = handOut.take(0)
    handOut.lose(0)
    #expect(handOut.hasDevices && handOut.capacity == 4 && handOut.waitingCount == 4)
    handOut.lose(1)
    #expect(!handOut.hasDevices && handOut.capacity == 0 && handOut.waitingCount == 4)
    let rest = handOut.take(0) + handOut.take(1)
    #expect(rest.isEmpty)
  }
}
