import Basics
import Foundation
import LabellingMock
import Relevance
import Testing

@testable import Labelling

/// Ledgers that are damaged, foreign or out of room, and processes that are killed.
@Suite struct LedgerFileTests {
  /// The program that runs a job without a model, built beside the tests.
  static func mock(_ arguments: [String]) throws -> Process {
    let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let process = Process()
    process.executableURL = URL(fileURLWithPath: tests).deletingLastPathComponent()
      .appendingPathComponent("LabellingMock")
    process.arguments = arguments
    process.standardOutput = Pipe()
    return process
  }

  static func output(_ process: Process) -> String {
    let data = (process.standardOutput as? Pipe)?.fileHandleForReading.readDataToEndOfFile() ?? Data()
    process.waitUntilExit()
    return String(decoding: data, as: UTF8.self)
  }

  @Test("Thirty kills at random moments lose nothing, repeat nothing, and leave the same bytes")
  func kills() throws {
    let whole = try JobFiles(mockPairs(3000))
    try whole.run()
    let files = try JobFiles(mockPairs(3000))
    // The job cannot end before it is killed: its pairs take longer than all the runs together.
    let slow = ["run", files.input, files.output, "delay-us=3000"]
    var random = SystemRandomNumberGenerator()
    var done = 0
    for _ in 0..<30 {
      let process = try LedgerFileTests.mock(slow)
      try process.run()
      usleep(UInt32.random(in: 5_000...250_000, using: &random))
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
      #expect(process.terminationReason == .uncaughtSignal)
      #expect(!FileManager.default.fileExists(atPath: files.output))
      guard FileManager.default.fileExists(atPath: files.ledgerPath),
        let summary = try? LedgerReader(path: files.ledgerPath).summary()
      else { continue }
      #expect(summary.done + summary.failed >= done && !summary.isRunning)
      done = summary.done + summary.failed
    }
    let last = try LedgerFileTests.mock(["run", files.input, files.output])
    try last.run()
    let said = LedgerFileTests.output(last)
    #expect(last.terminationStatus == 0, "\(said)")
    #expect(try files.read(files.output) == whole.read(whole.output))
    #expect(try files.read(files.errors) == whole.read(whole.errors))
    #expect(try LedgerReader(path: files.ledgerPath).summary().done == whole.lines(whole.output).count)
  }

  @Test("A row is on disk within a second of being recorded, without the job's help")
  func durable() throws {
    let files = try JobFiles(mockPairs(3))
    let ledger = try files.ledger()
    try ledger.recordDone(row: 0, json: "{}", label: "exact", generatedTokens: 3)
    // Waits for as long as it takes, so that a slow machine does not fail; without a write of its own, forever.
    var done = 0
    for _ in 0..<600 where done == 0 {
      usleep(50_000)
      done = try LedgerReader(path: files.ledgerPath).summary().done
    }
    #expect(done == 1)
    try ledger.close()
  }

  @Test("A disk without room ends the job with a typed error; with room the same command finishes it")
  func fullDisk() throws {
    let whole = try JobFiles(mockPairs(3000))
    try whole.run()
    let files = try JobFiles(mockPairs(3000))
    var done = 0
    // The limit on a file's size stands for the full disk; it lets a little more through each time.
    for bytes in [40_000, 150_000, 500_000] {
      let process = try LedgerFileTests.mock(
        ["run", files.input, files.output, "file-bytes=\(bytes)", "delay-us=2000"])
      try process.run()
      let said = LedgerFileTests.output(process)
      #expect(process.terminationReason == .exit && process.terminationStatus == 1)
      #expect(said.contains("[write-failed]") && said.contains("run the same command again"), "\(said)")
      #expect(!FileManager.default.fileExists(atPath: files.output))
      let summary = try LedgerReader(path: files.ledgerPath).summary()
      #expect(summary.done >= done)
      done = summary.done
    }
    #expect(done > 0)
    let labeller = MockLabeller()
    try files.run(labeller)
    #expect(labeller.submitted.count < 3000 - done)
    #expect(try files.read(files.output) == whole.read(whole.output))
    try smallDisk(whole.read(whole.output))
  }

  /// The same on a small disk of its own, where the system lets this process mount one.
  private func smallDisk(_ wholeOutput: [UInt8]) throws {
    let folder = FileManager.default.temporaryDirectory.path + "/" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    guard mount("tmpfs", folder, "tmpfs", 0, "size=600k") == 0 else { return }
    defer { umount2(folder, Int32(MNT_DETACH)) }
    let files = try JobFiles(mockPairs(3000), in: folder)
    let error = try #require(LedgerTests.error { try files.run() })
    #expect(error.code == .writeFailed && error.remedy.contains("run the same command again"))
    #expect(mount("tmpfs", folder, "tmpfs", UInt(MS_REMOUNT), "size=32m") == 0)
    try files.run()
    #expect(try files.read(files.output) == wholeOutput)
  }

  @Test("A file that is no ledger is refused and left as it is")
  func notALedger() throws {
    for text in ["this is not a database, only text that is long enough to be read as a header…………", "short"]
    {
      let files = try JobFiles(mockPairs(5))
      try Data(text.utf8).write(to: URL(fileURLWithPath: files.ledgerPath))
      let error = try #require(LedgerTests.error { try files.run() })
      #expect(error.code == .malformedFile && error.file == files.ledgerPath)
      #expect(error.remedy.contains("--restart"))
      #expect(
        LedgerTests.error { _ = try LedgerReader(path: files.ledgerPath).summary() }?.code == .malformedFile)
      #expect(try files.read(files.ledgerPath) == Array(text.utf8))
      try files.run(restart: true)
      #expect(try LedgerReader(path: files.ledgerPath).summary().isComplete)
    }
  }

  @Test(
    "A ledger cut short anywhere, or with a page overwritten, never crashes and never gives a wrong output")
  func damaged() throws {
    let files = try JobFiles(mockPairs(200))
    try files.run()
    let output = try files.read(files.output)
    let sound = try files.read(files.ledgerPath)
    var refused = 0
    for size in stride(from: 100, to: sound.count, by: 4096 - 100) {
      try Data(sound.prefix(size)).write(to: URL(fileURLWithPath: files.ledgerPath))
      let error = LedgerTests.error { try files.run() }
      #expect(error?.code == .malformedFile, "cut to \(size) bytes")
      refused += 1
    }
    #expect(refused > 10)
    for page in stride(from: 0, to: sound.count, by: 4096) {
      var bytes = sound
      for index in page..<min(page + 4096, bytes.count) {
        bytes[index] = UInt8(truncatingIfNeeded: index &* 31)
      }
      try Data(bytes).write(to: URL(fileURLWithPath: files.ledgerPath))
      if let error = LedgerTests.error({ try files.run() }) {
        #expect([.malformedFile, .jobConflict, .unsupported].contains(error.code), "\(error)")
      } else {
        // Pages that are free, or of rows that are simply labelled again, do no harm.
        #expect(try files.read(files.output) == output, "page at \(page)")
      }
    }
  }

  @Test("Another program's SQLite file, and a ledger of a newer format, are refused")
  func foreign() throws {
    for (sql, code) in [
      ("CREATE TABLE other(x)", RetortError.Code.malformedFile),
      (
        "PRAGMA application_id=\(Ledger.applicationID); PRAGMA user_version=99; CREATE TABLE other(x)",
        .unsupported
      ),
      (
        "PRAGMA application_id=\(Ledger.applicationID); PRAGMA user_version=1; CREATE TABLE other(x)",
        .malformedFile
      ),
    ] {
      let files = try JobFiles(mockPairs(5))
      try SQLiteDatabase(path: files.ledgerPath, access: .write).execute(sql)
      #expect(LedgerTests.error { try files.run() }?.code == code)
    }
  }

  @Test("Numbers in a ledger that make no sense do no harm")
  func hostileNumbers() throws {
    let files = try JobFiles(mockPairs(20))
    try files.run()
    let database = try SQLiteDatabase(path: files.ledgerPath, access: .write)
    try database.execute(
      """
      UPDATE counts SET n = 9223372036854775807; UPDATE meta SET value = '-9223372036854775808';
      UPDATE identity SET value = 'x/0' WHERE name = 'shard';
      INSERT INTO rows VALUES (-5, 1, x'FF00'), (9223372036854775807, 2, '');
      """)
    let summary = try LedgerReader(path: files.ledgerPath).summary()
    #expect(summary.pending >= 0 && summary.done > 0 && summary.rate >= 0)
    #expect(LedgerTests.error { try files.run() }?.code == .jobConflict)
    let error = LedgerTests.error {
      _ = try ShardMerge.write([LedgerReader(path: files.ledgerPath)], output: files.output)
    }
    #expect(error?.code == .jobConflict)
  }
}
