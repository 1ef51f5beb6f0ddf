import Basics
import LabellingMock
import Relevance
import Testing

@testable import Labelling

@Suite struct StopTests {
  private static let text = (0..<40).map { #"{"pair_id":"p\#($0)","query":"q\#($0 / 3)","title":"t\#($0)"}"# }
    .joined(separator: "\n")

  private static func job(_ files: JobFiles, _ ledger: Ledger) throws -> LabelJob {
    try LabelJob(
      labeller: MockLabeller(capacity: 4), reader: PairReader(path: files.input), ledger: ledger)
  }

  private static func output(_ files: JobFiles) throws -> [String] {
    try LabelOutput.write(LedgerReader(path: files.ledgerPath), output: files.output, before: nil)
    return try files.lines(files.output)
  }

  @Test func aJobThatIsStoppedKeepsWhatIsFinishedAndGoesOnToTheSameBytes() throws {
    let whole = try JobFiles(Self.text)
    let wholeLedger = try whole.ledger()
    #expect(try Self.job(whole, wholeLedger).run())
    try wholeLedger.close()

    let files = try JobFiles(Self.text)
    var done = [Int]()
    for _ in 0..<20 {
      let ledger = try files.ledger()
      var steps = 0
      let job = try Self.job(files, ledger)
      let isWhole = try job.run { _ in
        steps += 1
      } shouldStop: {
        steps == 7
      }
      // The stop comes between steps: nothing that was handed back is lost.
      #expect(isWhole == job.isDone && steps <= 7)
      try ledger.close()
      done.append(try LedgerReader(path: files.ledgerPath).summary().done)
      if isWhole { break }
    }
    #expect(done.first == 7 && done.last == 40 && done == done.sorted() && done.count > 3)
    #expect(try Self.output(files) == Self.output(whole))
  }

  @Test func aJobThatIsStoppedAtOnceDoesNothing() throws {
    let files = try JobFiles(Self.text)
    let ledger = try files.ledger()
    #expect(try !Self.job(files, ledger).run(shouldStop: { true }))
    try ledger.close()
    #expect(try LedgerReader(path: files.ledgerPath).summary().done == 0)
  }
}
