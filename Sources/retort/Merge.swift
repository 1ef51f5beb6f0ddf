import ArgumentParser
import Foundation
import Labelling

struct Merge: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Joins the outputs of 'retort label --shard' into one, in input order.",
    discussion: """
      Every row of the input must be there exactly once: what is missing is named and nothing is written. Shards
      are read from the ledgers beside their outputs.

      Example: retort merge labels.jsonl labels-1.jsonl labels-2.jsonl labels-3.jsonl labels-4.jsonl
      """)

  @Argument(help: "Where the records go; errors go beside it.")
  var output: String
  @Argument(help: "The shards' outputs, or their ledgers, in any order.")
  var shards: [String]
  @Flag(help: "Print JSON for machines instead of text for people.")
  var json = false

  func run() throws {
    let ledgers = try shards.map { try LedgerReader(path: LedgerPath.of($0)) }
    let report = try ShardMerge.write(ledgers, output: output)
    let errors = LabelOutput.errorsPath(output)
    if json {
      return Output.write(
        try Output.json([
          "rows": report.rows, "labelled": report.done, "errors": report.failed, "output": output,
          "errors_output": errors,
        ]))
    }
    Output.write(
      "\(report.rows) rows of \(shards.count) shards: \(report.done) labelled, records: \(output)\n")
    if report.failed > 0 { Output.write("\(report.failed) rows could not be labelled: \(errors)\n") }
  }
}

enum LedgerPath {
  /// The ledger that a user means by an output's name or the ledger's own.
  static func of(_ path: String) -> String { path.hasSuffix(".ledger") ? path : Ledger.path(forOutput: path) }
}
