import Basics
import Foundation
import LabellingMock
import Relevance
import Synchronization
import Testing

@testable import Labelling

/// Jobs on several devices that are threads with mock labellers.
@Suite struct DevicePoolTests {
  /// A mock that takes its time at random, may fail after some steps, and notes what it was given.
  final class Device: PairLabeller {
    let capacity: Int
    private let mock: MockLabeller
    private let failsAfter: Int
    private var random: UInt64
    private var steps = 0
    /// Rows given to it, for after the pool is closed.
    var submitted: [Int] { mock.submitted }
    /// Is called before each step.
    var gate: () -> Void = {}

    init(capacity: Int = 8, seed: UInt64, failsAfter: Int = .max) {
      self.capacity = capacity
      self.failsAfter = failsAfter
      mock = MockLabeller(capacity: capacity, seed: seed)
      random = seed
    }

    func submit(_ work: PairWork) throws { mock.submit(work) }

    func step() throws -> [PairResult] {
      gate()
      random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      usleep(UInt32(random >> 33) % 400)
      steps += 1
      if steps > failsAfter {
        throw RetortError(.deviceFailure, "the device is gone", remedy: "Look for it.")
      }
      return try (0..<Int(random >> 60) % 3).flatMap { _ in try mock.step() }
    }
  }

  static func pool(_ devices: [Device]) throws -> DevicePool {
    try DevicePool(devices.enumerated().map { .init(name: "device \($0)", labeller: $1) })
  }

  @Test("A job's output has the same bytes on one, two and five devices", .timeLimit(.minutes(2)))
  func sameBytes() throws {
    let reference = try JobFiles(mockPairs(700))
    try reference.run()
    let (records, errors) = (try reference.read(reference.output), try reference.read(reference.errors))
    for count in [1, 2, 5] {
      let devices = (0..<count).map { Device(seed: UInt64(count * 10 + $0)) }
      let pool = try DevicePoolTests.pool(devices)
      let files = try JobFiles(mockPairs(700))
      let progress = try files.run(pool)
      pool.close()
      #expect(try files.read(files.output) == records && files.read(files.errors) == errors)
      let pairs = 700 - 700 / 13
      #expect(progress.finished == 700)
      #expect(pool.counts.map(\.pairs).reduce(0, +) == pairs)
      #expect(pool.counts.map(\.name) == (0..<count).map { "device \($0)" })
      #expect(devices.flatMap(\.submitted).sorted() == (0..<700).filter { $0 % 13 != 12 })
    }
  }

  @Test("A device that stands still keeps only what it has in hand from the others", .timeLimit(.minutes(2)))
  func slowDevice() throws {
    let files = try JobFiles(mockPairs(260))
    let (slow, quick) = (Device(seed: 1), Device(seed: 2))
    let finished = Mutex(0)
    // The slow device waits until nothing is left that the quick one could do.
    slow.gate = { while finished.withLock({ $0 }) < 240 - 8 { usleep(200) } }
    let pool = try DevicePoolTests.pool([slow, quick])
    let ledger = try files.ledger()
    let job = try LabelJob(
      labeller: pool, reader: try PairReader(path: files.input), ledger: ledger, settings: .init(window: 64))
    try job.run { progress in finished.withLock { $0 = progress.finished - 20 } }
    pool.close()
    #expect(job.progress.finished == 260)
    #expect(pool.counts[0].pairs <= 8 + 8 && pool.counts[1].pairs >= 240 - 16)
  }

  @Test("A device that fails hands its pairs to the others", .timeLimit(.minutes(2)))
  func lostDevice() throws {
    let reference = try JobFiles(mockPairs(300))
    try reference.run()
    let devices = [
      Device(seed: 1, failsAfter: 5), Device(seed: 2), Device(seed: 3, failsAfter: 0),
    ]
    let pool = try DevicePoolTests.pool(devices)
    var messages: [String] = []
    pool.deviceLost = { messages.append($0.message) }
    let files = try JobFiles(mockPairs(300))
    try files.run(pool)
    pool.close()
    #expect(try files.read(files.output) == reference.read(reference.output))
    #expect(try files.read(files.errors) == reference.read(reference.errors))
    #expect(
      Set(messages) == ["device 0: the device is gone", "device 2: the device is gone"], "\(messages)")
    #expect(pool.counts.map { $0.error?.code } == [.deviceFailure, nil, .deviceFailure])
    #expect(pool.counts[2].pairs == 0)
  }

  @Test("When every device has failed the job ends with an error that names the last one, and can be resumed")
  func allLost() throws {
    let files = try JobFiles(mockPairs(300))
    let pool = try DevicePoolTests.pool([Device(seed: 1, failsAfter: 20), Device(seed: 2, failsAfter: 0)])
    var lost: [String] = []
    pool.deviceLost = { lost.append($0.message) }
    let error = #expect(throws: RetortError.self) { try files.run(pool) }
    pool.close()
    #expect(error?.code == .deviceFailure)
    #expect(Set(lost + [error?.message ?? ""]).count == 2)
    #expect(error?.message.hasPrefix("device ") == true)
    let before = try LedgerReader(path: files.ledgerPath).summary()
    #expect(before.done > 0)
    let reference = try JobFiles(mockPairs(300))
    try reference.run()
    try files.run(DevicePoolTests.pool([Device(seed: 3), Device(seed: 4)]))
    #expect(try files.read(files.output) == reference.read(reference.output))
  }

  @Test("A pool of no devices is refused, and one that is let go ends its threads")
  func ends() throws {
    #expect(throws: RetortError.self) { try DevicePool([]) }
    var pool: DevicePool? = try DevicePoolTests.pool([Device(seed: 1), Device(seed: 2)])
    for row in 0..<20 { try pool?.submit(HandOutTests.work(row, query: "q\(row)")) }
    _ = try pool?.step()
    weak let gone = pool
    pool = nil
    #expect(gone == nil)
  }
}
