import ArgumentParser
import Basics
import Distillation
import Foundation
import Relevance

struct Report: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Writes one page about training runs: metrics, ablation, curves, calibration, disagreements.",
    discussion: """
      A run is the output folder of 'retort distill'; one that is still training shows what it has so far. The output
      folder of 'retort ablate' stands for all of its runs and brings its table. The page needs no network and no
      script. Inputs that the runs name are read where they still are what they were. Where the teacher has also
      judged the dev pairs, its records, passed with --teacher, show by aspect how far a student agrees with it, and
      examples in which it does not.

      Example: retort report --run runs/hard runs/score --teacher dev-labels.jsonl --output report.html
      """)

  @Option(
    name: .customLong("run"), parsing: .upToNextOption,
    help: ArgumentHelp("Folders of training runs, or of grids of them.", valueName: "folder"))
  var folders: [String]
  @Option(
    name: .customLong("teacher"), parsing: .upToNextOption,
    help: ArgumentHelp(
      "Records of 'retort label' beyond those that the runs were trained with, as of the dev pairs.",
      valueName: "file"))
  var teachers: [String] = []
  @Option(help: "The page to write.")
  var output: String
  @Option(help: "Disagreements of student and teacher to show at most.")
  var examples = 20
  @Option(help: "The page's title.")
  var title: String?
  @Flag(help: "Print what was written as JSON for machines instead of text for people.")
  var json = false

  func validate() throws {
    if folders.isEmpty { throw ValidationError("Give at least one folder with --run.") }
    if !(0...1000).contains(examples) { throw ValidationError("--examples must be from 0 to 1000.") }
  }

  func run() throws {
    let runs = try RunFolder.read(folders, teachers: teachers)
    let grids = try ReportedGrid.read(folders, runs: runs)
    let builder = ReportBuilder(runs: runs, grids: grids, examples: examples, title: title)
    let page = builder.html
    let file = try AtomicFile(path: output)
    try file.write(page)
    try file.commit()
    guard json else {
      for run in runs {
        for note in run.notes { Output.note("note: \(run.name): \(note)") }
      }
      return Output.write(
        "\(output): \(runs.count) \(runs.count == 1 ? "run" : "runs"), \(page.utf8.count) bytes\n")
    }
    Output.write(
      try Output.json([
        "output": output, "bytes": page.utf8.count, "sections": builder.sectionIDs,
        "runs": runs.map(Report.object),
      ]))
  }

  private static func object(_ run: ReportedRun) -> [String: Any] {
    var metrics: [String: Any] = [:]
    if let evaluation = run.evaluation {
      for metric in Metric.allCases {
        let estimate = evaluation.overall[metric]
        metrics[metric.rawValue] = [
          "value": orNull(estimate.value), "low": orNull(estimate.low), "high": orNull(estimate.high),
        ]
      }
    }
    return [
      "path": run.path, "name": run.name, "student": orNull(run.student), "losses": run.losses,
      "steps": run.log.steps.count, "metrics": metrics, "notes": run.notes,
    ]
  }

  private static func orNull(_ value: Any?) -> Any { value ?? NSNull() }
}
