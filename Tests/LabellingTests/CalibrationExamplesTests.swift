import Basics
import Foundation
import LabellingMock
import Relevance
import Testing

@testable import Labelling

@Suite struct CalibrationExamplesTests {
  /// Rows of which some have no label, a foreign one, or are no pair; every eleventh fails.
  private func rows(_ count: Int) -> String {
    (0..<count).map { row in
      if row % 13 == 12 { return #"{"pair_id":"p\#(row)""# }
      let title = row % 11 == 10 ? "fail \(row)" : "title \(row)"
      let label = [#","label":"Exact""#, #","label":"irrelevant""#, "", #","label":"maybe""#][row % 4]
      return #"{"pair_id":"p\#(row)","query":"query \#(row / 3)","title":"\#(title)"\#(label)}"#
    }.joined(separator: "\n") + "\n"
  }

  @Test("Records are joined with the human labels of their rows, and the others are counted")
  func join() throws {
    let files = try JobFiles(rows(200))
    try files.run()
    let ledger = try LedgerReader(path: files.ledgerPath)
    let found = try CalibrationExamples(ledger, input: files.input, labels: .standard)
    let pairs = (0..<200).filter { $0 % 13 != 12 }
    let labelled = pairs.filter { $0 % 4 < 2 }
    let answered = labelled.filter { $0 % 11 != 10 }
    #expect(found.unlabelled == pairs.count { $0 % 4 == 2 })
    #expect(found.unknown == ["maybe": pairs.count { $0 % 4 == 3 }])
    #expect(found.unanswered == labelled.count - answered.count && found.unanswered > 0)
    try #require(found.examples.count == answered.count)
    for (example, row) in zip(found.examples, answered) {
      #expect(example.label == (row % 4 == 0 ? 0 : 2))
      #expect(example.group == "query \(row / 3)")
      let work = PairWork(
        row: row, line: row + 1, pair: Pair(pairID: "p", query: "query \(row / 3)", title: "title \(row)"))
      #expect(try example.probabilities == MockLabeller.result(work).outcome.get().distribution.probabilities)
    }
    let few = try CalibrationExamples(ledger, input: files.input, labels: .standard, before: 9)
    #expect(few.examples.count == answered.count { $0 < 9 })
  }

  @Test("A file without enough labels of the set is refused before anything is labelled")
  func check() throws {
    let files = try JobFiles(rows(200))
    try CalibrationExamples.check(input: files.input, labels: .standard)
    for limit in [0, 9, 38] {
      #expect(throws: RetortError.self) {
        try CalibrationExamples.check(input: files.input, labels: .standard, before: limit)
      }
    }
    let other = try LabelSet([.init(name: "good", gain: 1), .init(name: "bad", gain: 0)])
    do {
      try CalibrationExamples.check(input: files.input, labels: other)
      Issue.record("no error")
    } catch let error as RetortError {
      #expect(error.field == "label" && error.message.contains("\"maybe\""))
    }
  }

  @Test("Records of another label set are refused")
  func otherLabels() throws {
    let files = try JobFiles(rows(60))
    try files.run()
    let other = try LabelSet([.init(name: "exact", gain: 1), .init(name: "bad", gain: 0)])
    let ledger = try LedgerReader(path: files.ledgerPath)
    #expect(throws: RetortError.self) {
      _ = try CalibrationExamples(ledger, input: files.input, labels: other)
    }
  }

  @Test("A labeller's calibration maps each distribution and stands in the record")
  func applied() throws {
    let model = try TinyModel()
    let calibration = try LabelCalibration(name: "shop", temperature: 2.5, bias: [1, 0, -1])
    func records(_ calibration: LabelCalibration?) throws -> [LabelRecord] {
      var settings = EngineLabeller.Settings(maxTokens: 20, batch: 2, model: "tiny")
      settings.calibration = calibration
      let labeller = EngineLabeller(
        engine: try model.engine(sequences: 2, context: 2400, cacheTokens: 4800),
        encoder: try model.encoder(.direct), settings: settings)
      var found: [Int: LabelRecord] = [:]
      for row in 0..<2 {
        let pair = Pair(pairID: "\(row)", query: "hose \(row)", title: "a hose")
        try labeller.submit(PairWork(row: row, line: row + 1, pair: pair))
      }
      for _ in 0..<100 where found.count < 2 {
        for result in try labeller.step() { found[result.row] = try result.outcome.get() }
      }
      return (0..<2).compactMap { found[$0] }
    }
    let (raw, mapped) = (try records(nil), try records(calibration))
    try #require(raw.count == 2 && mapped.count == 2)
    for (one, other) in zip(raw, mapped) {
      #expect(one.calibration == nil && other.calibration == calibration)
      #expect(try calibration.apply(one.distribution) == other.distribution)
      #expect(one.distribution != other.distribution)
    }
  }
}
