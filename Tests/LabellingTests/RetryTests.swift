import Basics
import Foundation
import LabellingMock
import Relevance
import Testing

@testable import Labelling

/// Rows that failed, labelled again.
@Suite struct RetryTests {
  /// Fails every pair that `fails` names, labels the others.
  final class Flaky: PairLabeller {
    let fails: (PairWork) -> Bool
    private(set) var submitted: [Int] = []
    private var held: [PairWork] = []
    let capacity = 5

    init(_ fails: @escaping (PairWork) -> Bool) { self.fails = fails }

    func submit(_ work: PairWork) {
      submitted.append(work.row)
      held.append(work)
    }

    func step() throws -> [PairResult] {
      defer { held = [] }
      return try held.map {
        fails($0)
          ? PairResult(
            row: $0.row, outcome: .failure(RetortError(.deviceFailure, "the device is lost", remedy: "Wait."))
          )
          : try MockLabeller.result($0)
      }
    }
  }

  @Test(
    "Failed rows are pending again, the others are not touched, and the output is that of a run without faults"
  )
  func retry() throws {
    let text = mockPairs(60)
    let undisturbed = try JobFiles(text)
    try undisturbed.run()
    let files = try JobFiles(text)
    let before = try files.run(Flaky { $0.row % 4 == 1 })
    let failed = try files.lines(files.errors).count
    #expect(before.failed == failed && failed > 15)
    // Without the option nothing is done again.
    let idle = Flaky { _ in false }
    try files.run(idle)
    #expect(idle.submitted.isEmpty)

    let labeller = Flaky { _ in false }
    let after = try files.run(labeller, retryFailed: true)
    #expect(try files.read(files.output) == undisturbed.read(undisturbed.output))
    #expect(try files.read(files.errors) == undisturbed.read(undisturbed.errors))
    // Rows that are no pairs fail again without reaching the labeller.
    #expect(labeller.submitted.allSatisfy { $0 % 4 == 1 || $0 % 11 == 10 })
    #expect(Set(labeller.submitted).count == labeller.submitted.count)
    #expect(after.done + after.failed == 60)
    let summary = try LedgerReader(path: files.ledgerPath).summary()
    #expect(summary.isComplete && summary.failed == after.failed && summary.done == after.done)
    #expect(summary.labels.values.reduce(0, +) == summary.done)
  }

  @Test("A retry that breaks off goes on like any job")
  func interrupted() throws {
    let files = try JobFiles(mockPairs(40))
    try files.run(Flaky { $0.row < 30 })
    do {
      let ledger = try Ledger(path: files.ledgerPath, identity: files.identity(), retryFailed: true)
      let job = try LabelJob(
        labeller: Flaky { _ in false }, reader: try PairReader(path: files.input), ledger: ledger)
      #expect(job.progress.failed == 0)
      try job.step()
      try ledger.close()
    }
    let rest = Flaky { _ in false }
    try files.run(rest)
    #expect(!rest.submitted.isEmpty && rest.submitted.allSatisfy { $0 < 30 || $0 % 11 == 10 })
    let undisturbed = try JobFiles(mockPairs(40))
    try undisturbed.run()
    #expect(try files.read(files.output) == undisturbed.read(undisturbed.output))
  }

  @Test("Failed rows of another job are not forgotten: the ledger is refused as it is")
  func refused() throws {
    let files = try JobFiles(mockPairs(20))
    try files.run(settings: ["max-tokens": "9"])
    let failed = try LedgerReader(path: files.ledgerPath).summary().failed
    let error = LedgerTests.error {
      _ = try Ledger(
        path: files.ledgerPath, identity: files.identity(settings: ["max-tokens": "8"]), retryFailed: true)
    }
    #expect(error?.code == .jobConflict)
    #expect(try LedgerReader(path: files.ledgerPath).summary().failed == failed && failed > 0)
  }
}
