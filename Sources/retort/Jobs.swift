import ArgumentParser
import Basics
import Foundation
import Labelling

struct Jobs: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Lists bulk jobs with what is done, failed and pending, also while they run.",
    discussion: """
      A path is an output of 'retort label', its ledger, or a folder that is searched for ledgers; the current
      folder by default. A single job is shown with its settings.

      Example: retort jobs labels.jsonl
      """)

  @Argument(help: "Outputs, ledgers or folders.")
  var paths: [String] = []
  @Flag(help: "Print JSON for machines instead of text for people.")
  var json = false

  func run() throws {
    let isOne = paths.count == 1 && !Jobs.isFolder(paths[0])
    var jobs: [LedgerSummary] = []
    var problems: [RetortError] = []
    for path in try Jobs.ledgers(paths.isEmpty ? ["."] : paths) {
      do {
        jobs.append(try LedgerReader(path: path).summary())
      } catch let error as RetortError {
        if isOne { throw error }
        problems.append(error)
      }
    }
    if json {
      Output.write(try Output.json(jobs.map(Jobs.object)))
    } else if isOne, let job = jobs.first {
      Output.write(Jobs.details(job))
    } else {
      Output.write(Jobs.table(jobs))
    }
    for problem in problems { Output.note("error: \(problem)") }
    if !problems.isEmpty { throw ExitCode(1) }
  }

  private static func isFolder(_ path: String) -> Bool {
    var isFolder: ObjCBool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
  }

  private static func ledgers(_ paths: [String]) throws -> [String] {
    var found: [String] = []
    for path in paths {
      guard isFolder(path) else {
        found.append(LedgerPath.of(path))
        continue
      }
      let names = FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
      let prefix = path == "." ? "" : path.hasSuffix("/") ? path : path + "/"
      found += names.filter { $0.hasSuffix(".ledger") }.sorted().map { prefix + $0 }
    }
    return found
  }

  private static func object(_ job: LedgerSummary) -> [String: Any] {
    [
      "ledger": job.path, "state": job.state, "done": job.done, "failed": job.failed, "pending": job.pending,
      "total": job.total, "total_is_exact": job.isTotalExact, "shard": job.shard, "model": job.model,
      "input": job.input, "pairs_per_second": job.rate, "active_seconds": job.activeSeconds,
      "generated_tokens": job.generatedTokens, "labels": job.labels, "settings": job.identity,
      "started": stamp(job.started), "last_activity": stamp(job.lastActivity),
    ]
  }

  private static func table(_ jobs: [LedgerSummary]) -> String {
    guard !jobs.isEmpty else { return "no jobs\n" }
    var rows = [
      ["job", "state", "done", "failed", "pending", "pairs/s", "shard", "model", "started", "last activity"]
    ]
    rows += jobs.map { job in
      [
        output(job), job.state, "\(job.done)", "\(job.failed)",
        (job.isTotalExact ? "" : "~") + "\(job.pending)",
        String(format: "%.2f", job.rate), job.shard, job.model, stamp(job.started), stamp(job.lastActivity),
      ]
    }
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      zip(row, widths).map { LabelTable.fit($0, $1) }.joined(separator: "  ") + "\n"
    }.joined()
  }

  private static func details(_ job: LedgerSummary) -> String {
    var lines = [
      ("output", output(job)), ("state", job.state), ("done", "\(job.done)"), ("failed", "\(job.failed)"),
      ("pending", (job.isTotalExact ? "" : "about ") + "\(job.pending)"),
      ("pairs/s", String(format: "%.2f", job.rate)), ("input", job.input), ("model", job.model),
      ("shard", job.shard), ("started", stamp(job.started)), ("last activity", stamp(job.lastActivity)),
      ("tokens", "\(job.generatedTokens)"),
    ]
    lines += job.labels.sorted { $0.key < $1.key }.map { ("label \($0.key)", "\($0.value)") }
    lines += job.identity.sorted { $0.key < $1.key }
      .filter { !["model", "shard"].contains($0.key) }.map { ($0.key, $0.value) }
    let width = lines.map(\.0.count).max() ?? 0
    return lines.map { LabelTable.fit($0.0, width) + "  " + $0.1 + "\n" }.joined()
  }

  private static func output(_ job: LedgerSummary) -> String { String(job.path.dropLast(".ledger".count)) }

  private static func stamp(_ date: Date?) -> String {
    date.map { $0.formatted(.iso8601) } ?? ""
  }
}
