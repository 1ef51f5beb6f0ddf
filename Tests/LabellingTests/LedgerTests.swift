import Basics
import Foundation
import LabellingMock
import Relevance
import Testing

@testable import Labelling

/// The ledger's promises, on jobs without a model.
@Suite struct LedgerTests {
  /// Hands pairs on and ends the job with an error after some results.
  final class Faulty: PairLabeller {
    let inner: MockLabeller
    var left: Int

    init(_ inner: MockLabeller, after left: Int) {
      self.inner = inner
      self.left = left
    }

    var capacity: Int { inner.capacity }
    func submit(_ work: PairWork) { inner.submit(work) }
    func step() throws -> [PairResult] {
      guard left > 0 else { throw RetortError(.deviceFailure, "the device is lost", remedy: "Wait.") }
      left -= 1
      return try inner.step()
    }
  }

  static func error(_ body: () throws -> Void) -> RetortError? {
    do {
      try body()
      return nil
    } catch { return error as? RetortError }
  }

  @Test("Results that come in any order give an output in input order", arguments: [1, 7, 32, 1000])
  func order(_ capacity: Int) throws {
    let files = try JobFiles(mockPairs(500))
    let labeller = MockLabeller(capacity: capacity, seed: UInt64(capacity))
    let progress = try files.run(labeller, window: 100)
    let expectedRows = (0..<500).filter { $0 % 13 != 12 && $0 % 11 != 10 }
    #expect(try files.lines(files.output).map { Line($0).pairID } == expectedRows.map { "p\($0)" })
    let bad = (0..<500).filter { $0 % 13 == 12 || $0 % 11 == 10 }
    #expect(try files.lines(files.errors).map { Line($0).line } == bad.map { $0 + 1 })
    #expect(progress.done == expectedRows.count && progress.failed == bad.count && progress.total == 500)
    #expect(progress.labels.values.reduce(0, +) == expectedRows.count)
    #expect(labeller.mostInFlight <= capacity)
    #expect(labeller.submitted.count == Set(labeller.submitted).count)
  }

  @Test("Output does not depend on the window, and a window brings equal queries together")
  func windows() throws {
    var first: [UInt8]?
    for window in [1, 64, 4096] {
      let files = try JobFiles(mockPairs(700))
      let labeller = MockLabeller(capacity: 4)
      try files.run(labeller, window: window)
      let output = try files.read(files.output)
      #expect(output == first ?? output)
      first = output
      if window == 1 { #expect(labeller.submitted == labeller.submitted.sorted()) }
      if window == 4096 {
        // Every query's rows are one run: as many changes of query as there are queries.
        let queries = labeller.submitted.map { $0 * 7919 % 100 }
        let changes = zip(queries, queries.dropFirst()).filter { $0 != $1 }.count + 1
        #expect(changes == Set(queries).count)
      }
    }
  }

  @Test("A job that broke off goes on where it was, and ends with the same bytes")
  func resume() throws {
    let whole = try JobFiles(mockPairs(400))
    try whole.run()
    let files = try JobFiles(mockPairs(400))
    var labelled: [Int] = []
    for after in [0, 1, 50, 120] {
      let inner = MockLabeller(capacity: 16, seed: UInt64(after))
      let error = LedgerTests.error { try files.run(Faulty(inner, after: after)) }
      #expect(error?.code == .deviceFailure)
      #expect(!FileManager.default.fileExists(atPath: files.output))
      labelled.append(try LedgerReader(path: files.ledgerPath).summary().done)
    }
    #expect(labelled == labelled.sorted() && (labelled.last ?? 0) > 140)
    let last = MockLabeller()
    let progress = try files.run(last)
    #expect(last.submitted.count < 400 - 150)
    #expect(try files.read(files.output) == whole.read(whole.output))
    #expect(try files.read(files.errors) == whole.read(whole.errors))
    #expect(progress.finished == 400 && progress.finishedNow < 400 - 150)
    let again = MockLabeller()
    try FileManager.default.removeItem(atPath: files.output)
    try files.run(again)
    #expect(again.submitted.isEmpty)
    #expect(try files.read(files.output) == whole.read(whole.output))
  }

  @Test("A raised limit goes on from the lower one, and each limit's output is its own rows")
  func limits() throws {
    let files = try JobFiles(mockPairs(90))
    try files.run(limit: 20)
    let short = try files.lines(files.output)
    #expect(try short.count + files.lines(files.errors).count == 20)
    let labeller = MockLabeller()
    try files.run(labeller)
    #expect(labeller.submitted.allSatisfy { $0 >= 20 })
    #expect(try files.lines(files.output).starts(with: short))
    #expect(try LedgerReader(path: files.ledgerPath).summary().isComplete)
    try files.run(limit: 20)
    #expect(try files.lines(files.output) == short)
  }

  @Test("A changed input or setting is refused by name, the ledger stays, --restart starts afresh")
  func changes() throws {
    let files = try JobFiles(mockPairs(30))
    try files.run(settings: ["max-tokens": "128"])
    let output = try files.read(files.output)
    let setting = try #require(LedgerTests.error { try files.run(settings: ["max-tokens": "64"]) })
    #expect(setting.code == .jobConflict)
    #expect(setting.message.contains("max-tokens was 128, now 64") && setting.remedy.contains("--restart"))
    #expect(!setting.message.contains("input"))
    let shard = try JobShard("1/2")
    let sharded = try #require(
      LedgerTests.error { try files.run(shard: shard, settings: ["max-tokens": "128"]) })
    #expect(sharded.message.contains("shard was 1/1, now 1/2"))
    try Data(mockPairs(31).utf8).write(to: URL(fileURLWithPath: files.input))
    let input = try #require(LedgerTests.error { try files.run(settings: ["max-tokens": "128"]) })
    #expect(input.code == .jobConflict && input.message.contains("input's content has changed"))
    #expect(try files.read(files.output) == output)
    let labeller = MockLabeller()
    try files.run(labeller, settings: ["max-tokens": "64"], restart: true)
    #expect(labeller.submitted.count == (0..<31).filter { $0 % 13 != 12 }.count)
  }

  @Test("A second job on the same ledger is refused until the first has ended")
  func doubleStart() throws {
    let files = try JobFiles(mockPairs(10))
    let first = try files.ledger()
    for restart in [false, true] {
      let error = try #require(LedgerTests.error { _ = try files.ledger(restart: restart) })
      #expect(error.code == .jobConflict && error.message.contains("running already, as process \(getpid())"))
    }
    #expect(try LedgerReader(path: files.ledgerPath).summary().state == "running")
    try first.close()
    #expect(try LedgerReader(path: files.ledgerPath).summary().state == "stopped")
    try files.run()
    #expect(try LedgerReader(path: files.ledgerPath).summary().state == "complete")
    #expect(!FileManager.default.fileExists(atPath: files.ledgerPath + ".lock"))
  }

  @Test("Export during a run gives what is done so far, in input order")
  func export() throws {
    let files = try JobFiles(mockPairs(300))
    let ledger = try files.ledger()
    let job = try LabelJob(
      labeller: MockLabeller(capacity: 8), reader: try PairReader(path: files.input), ledger: ledger)
    for _ in 0..<100 { try job.step() }
    try ledger.flush()
    func exported(_ format: LedgerExport.Format) throws -> [String] {
      var text = ""
      try LedgerExport.write(LedgerReader(path: files.ledgerPath), as: format) { text += $0 }
      return text.components(separatedBy: "\n").dropLast()
    }
    let early = try exported(.jsonLines)
    #expect(early.count == job.progress.done && !early.isEmpty)
    try job.run()
    try LabelOutput.write(LedgerReader(path: files.ledgerPath), output: files.output)
    let lines = try files.lines(files.output)
    #expect(try exported(.jsonLines) == lines)
    #expect(early == lines.filter(Set(early).contains))
    let table = try exported(.csv)
    #expect(
      table[0] == "pair_id,query_id,item_id,label,score,p_exact,p_irrelevant,p_partial,rationale,"
        + RationaleOutline.standard.names.sorted().map { "verdict_\($0)," }.joined()
        + "prompt_tokens,generated_tokens,jumped_tokens,truncated,model,prompt_hash")
    // A rationale of two lines is one quoted cell, so a record takes two lines.
    #expect(table.count == 1 + 2 * lines.count)
    #expect(table[1].hasPrefix("p0,,,"))
    let cells = table[1].split(separator: ",", omittingEmptySubsequences: false)
    for (label, cell) in zip(["exact", "irrelevant", "partial"], cells[5...7]) {
      #expect(lines[0].contains("\"\(label)\":\(cell)"))
    }
    #expect(
      table[1].hasSuffix(#","Asks: ""query 0"","#) && table[2] == #"in two lines",,,,,,10,5,0,false,mock,p"#)
  }

  @Test("A table of sampled records has the votes of each label and the verdict on each aspect")
  func exportOfVotes() throws {
    final class Voting: PairLabeller {
      let capacity = 1
      private var held: [PairWork] = []
      func submit(_ work: PairWork) { held.append(work) }
      func step() throws -> [PairResult] {
        try held.popLast()
          .map { work in
            let samples = try [[0.2, 0.3, 0.5], [0.1, 0.7, 0.2], [0.1, 0.1, 0.8]]
              .map {
                LabelSample(
                  distribution: try LabelDistribution(labels: .standard, probabilities: $0),
                  rationaleText: "brand: match",
                  rationale: Rationale(
                    asks: nil, aspects: [.init(aspect: "brand", verdict: .match, reason: nil)], label: nil),
                  generatedTokens: 3, jumpedTokens: 1, isTruncated: false)
              }
            return [
              PairResult(
                row: work.row,
                outcome: .success(
                  try LabelRecord(
                    pair: work.pair, samples: samples, sampling: .init(samples: 3, temperature: 0.7),
                    promptTokens: 9, model: "mock", promptHash: "p")))
            ]
          } ?? []
      }
    }
    let files = try JobFiles(mockPairs(1))
    try files.run(Voting())
    var text = ""
    try LedgerExport.write(LedgerReader(path: files.ledgerPath), as: .csv) { text += $0 }
    let table = text.split(separator: "\n").map { $0.split(separator: ",", omittingEmptySubsequences: false) }
    try #require(table.count == 2 && table[0].count == table[1].count)
    let cells = Dictionary(uniqueKeysWithValues: zip(table[0], table[1]))
    let voted = LabelSet.standard.names[2]
    #expect(
      cells["label"] == voted[...] && cells["votes_\(voted)"] == "2" && cells["verdict_brand"] == "match")
    #expect(cells["generated_tokens"] == "9" && Double(cells["vote_share"] ?? "") == 2.0 / 3)
  }

  @Test("A labeller that hands back a row nobody asked for ends the job, not the process")
  func unknownRow() throws {
    final class Confused: PairLabeller {
      let capacity = 2
      func submit(_ work: PairWork) {}
      func step() -> [PairResult] {
        [PairResult(row: 99, outcome: .failure(RetortError(.unsupported, "", remedy: "")))]
      }
    }
    let files = try JobFiles(mockPairs(5))
    #expect(LedgerTests.error { try files.run(Confused()) }?.code == .deviceFailure)
  }
}
