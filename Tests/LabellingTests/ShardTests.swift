import Basics
import Foundation
import LabellingMock
import Relevance
import Testing

@testable import Labelling

@Suite struct ShardTests {
  /// The shards of an input, each labelled in a folder of its own.
  static func shards(_ count: Int, of text: String, settings: [String: String] = [:]) throws -> [JobFiles] {
    try (1...count).map { index in
      let files = try JobFiles(text)
      try files.run(shard: try JobShard(index: index, count: count), settings: settings)
      return files
    }
  }

  static func merge(_ shards: [JobFiles], into files: JobFiles) throws -> ShardMerge.Report {
    try ShardMerge.write(shards.map { try LedgerReader(path: $0.ledgerPath) }, output: files.output)
  }

  @Test(
    "Merged shards are the undivided run's bytes, whatever their number and order", arguments: [1, 2, 3, 8])
  func merged(_ count: Int) throws {
    let whole = try JobFiles(mockPairs(400))
    try whole.run()
    let shards = try ShardTests.shards(count, of: mockPairs(400))
    let target = try JobFiles("")
    let report = try ShardTests.merge(shards.reversed(), into: target)
    #expect(try target.read(target.output) == whole.read(whole.output))
    #expect(try target.read(target.errors) == whole.read(whole.errors))
    #expect(try report.done == whole.lines(whole.output).count && report.rows == 400)
  }

  @Test("All pairs of a query fall into one shard, and every row into exactly one")
  func divided() throws {
    let files = try JobFiles(mockPairs(500))
    let reader = try PairReader(path: files.input)
    let shards = try (1...4).map { try JobShard(index: $0, count: 4) }
    var homes: [String: Set<Int>] = [:]
    var sizes = [0, 0, 0, 0]
    var number = 0
    while let row = try reader.next() {
      let homesOfRow = shards.indices.filter { shards[$0].contains(row, number: number) }
      #expect(homesOfRow.count == 1)
      for home in homesOfRow { sizes[home] += 1 }
      if case .pair(let pair, _) = row { homes[pair.query, default: []].formUnion(homesOfRow) }
      number += 1
    }
    #expect(number == 500 && homes.values.allSatisfy { $0.count == 1 })
    #expect(sizes.allSatisfy { $0 > 50 }, "\(sizes)")
  }

  @Test("What is missing, double or of another job is named, and nothing is written")
  func refused() throws {
    let text = mockPairs(60)
    let shards = try ShardTests.shards(3, of: text)
    let target = try JobFiles("")
    func refusal(_ files: [JobFiles]) -> String {
      let error = LedgerTests.error { _ = try ShardTests.merge(files, into: target) }
      #expect(error?.code == .jobConflict)
      #expect(!FileManager.default.fileExists(atPath: target.output))
      return error?.message ?? ""
    }
    #expect(refusal([]).contains("no shards"))
    #expect(refusal([shards[0], shards[2]]).contains("1 of 3 shards are missing: 2/3"))
    #expect(refusal(shards + [shards[1]]).contains("shard 2/3 is there twice"))
    #expect(refusal(shards + (try ShardTests.shards(2, of: text))).contains("divide the input differently"))
    let other = try ShardTests.shards(3, of: text, settings: ["max-tokens": "1"])
    #expect(refusal([shards[0], shards[1], other[2]]).contains("max-tokens differs"))
    let changed = try ShardTests.shards(3, of: mockPairs(61))
    #expect(refusal([shards[0], shards[1], changed[2]]).contains("input"))
  }

  @Test("Rows that a shard has not finished are named")
  func unfinished() throws {
    let text = mockPairs(60)
    var shards = try ShardTests.shards(2, of: text)
    let half = try JobFiles(text)
    let shard = try JobShard("2/2")
    let labeller = LedgerTests.Faulty(MockLabeller(capacity: 1), after: 5)
    _ = LedgerTests.error { try half.run(labeller, shard: shard) }
    shards[1] = half
    let finished = try Set(
      shards.flatMap { files in
        var rows: [Int] = []
        let cursor = try LedgerReader(path: files.ledgerPath).cursor()
        while let row = try cursor.next() { rows.append(row.number) }
        return rows
      })
    let target = try JobFiles("")
    let error = try #require(LedgerTests.error { _ = try ShardTests.merge(shards, into: target) })
    #expect(error.message.contains("unfinished shards: 2/2"))
    let missing = (0..<60).filter { !finished.contains($0) }
    #expect(error.message.contains("\(missing.count) rows of the input are missing: "), "\(error.message)")
    #expect(error.message.contains("\(missing[0] + 1)"))
  }

  @Test(
    "A shard is I/N with I from 1 to N", arguments: ["", "0/2", "3/2", "1", "1/2/3", "a/b", "-1/4", "1/0"])
  func malformed(_ text: String) {
    #expect(LedgerTests.error { _ = try JobShard(text) }?.code == .invalidArgument)
  }

  @Test("Rows are counted without being parsed: blank lines, quoted line breaks, no line break at the end")
  func counted() throws {
    func rows(_ text: String, _ format: PairFormat) throws -> Int {
      let files = try JobFiles(text)
      return try InputFingerprint(path: files.input, format: format).estimatedRows
    }
    #expect(try rows("{}\n\n  \r\n{}", .jsonLines) == 2)
    #expect(try rows("", .jsonLines) == 0 && rows("", .csv) == 0)
    #expect(try rows("query,title\na,\"b\nc\"\n\nd,e\n", .csv) == 2)
    #expect(try rows("{\"query\":\"a \\\" quote\"}\n{}\n", .jsonLines) == 2)
  }

  @Test("Progress says what is done, how fast, and how long it takes from here")
  func progress() {
    var progress = JobProgress()
    progress.done = 1100
    progress.failed = 20
    progress.total = 5120
    progress.finishedNow = 400
    progress.tokensNow = 20_000
    progress.seconds = 100
    progress.labels = ["exact": 300, "partial": 800]
    #expect(
      progress.line
        == "1120/5120 pairs, 4.00 pairs/s, 200 tokens/s, partial 800, exact 300, 20 failed, 16:40 left")
    #expect(JobProgress().line == "0/0 pairs, 0.00 pairs/s" && JobProgress().secondsLeft == nil)
    #expect(JobProgress.clock(3_725) == "1:02:05" && JobProgress.clock(.infinity) != "")
  }
}
