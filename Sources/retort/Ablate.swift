import ArgumentParser
import Basics
import Distillation
import Foundation
import Relevance
import Training

struct Ablate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Trains a grid of students and losses, and prints what each part is worth.",
    discussion: """
      The configuration is a JSON object. train, dev, output and init are needed, and teacher where losses go beyond \
      hard; students, losses and seeds span the grid; teacher_dev (the teacher's records of the dev pairs) adds a row; \
      the options of 'retort distill' stand by their names in snake case. Paths are relative to the working folder.

        {"train": ["train.jsonl"], "teacher": "labels.jsonl", "dev": "dev.jsonl", "labels": "labels.json",
         "init": "minilm-l6", "output": "grid", "students": ["interaction", "representation"],
         "losses": [["hard"], ["hard", "score"], ["hard", "reasoning"], ["hard", "score", "reasoning"]],
         "seeds": [1, 2, 3], "epochs": 2}

      Each cell is trained into output/<student>-<losses>-seed<k> as 'retort distill' does it. The same command skips \
      what is finished and goes on with what was interrupted. ablation.json and ablation.md in output hold the table: \
      metrics with 95 % intervals and, paired, the difference to hard alone.

      Example: retort ablate --config grid.json
      """)

  @Option(help: "The grid as a JSON file.")
  var config: String
  @OptionGroup var limits: TimeLimitOptions
  @OptionGroup var options: RunOptions

  func run() throws {
    let configuration = try AblationConfiguration(path: config)
    let labels = try configuration.labels.map { try LabelSet(path: $0) } ?? .standard
    let ablation = Ablation(
      configuration, labels: labels, initial: try ModelPath.resolve(configuration.initial),
      on: try options.makeTrainingBackend())
    let display = AblationDisplay(isEnabled: !options.json, watched: configuration.shared.watch)
    let stop = StopSignal(timeLimit: limits.timeLimit)
    let outcomes = try ablation.run(report: display.show) { stop.isSet }
    if outcomes.last?.outcome == .interrupted {
      Output.note("\(stop.reason); the same command goes on")
      throw stop.exitCode
    }
    var diverged: Set<AblationConfiguration.Cell> = []
    for (cell, outcome) in outcomes {
      if case .diverged = outcome { diverged.insert(cell) }
    }
    let report = try AblationReport(configuration, labels: labels, diverged: diverged)
    try report.write(to: configuration.output)
    Output.write(try options.json ? Output.line(report) : report.text)
    if !diverged.isEmpty { throw ExitCode(1) }
  }
}

/// Shows a grid's progress: a line a cell, a bar while it trains.
private final class AblationDisplay {
  private let isEnabled: Bool
  private let watched: String
  private var bar: ProgressBar?

  init(isEnabled: Bool, watched: String) {
    self.isEnabled = isEnabled
    self.watched = watched
  }

  func show(_ event: Ablation.Event) {
    switch event {
    case .begins(let cell, let number, let count): Output.note("\(number) of \(count): \(cell.name)")
    case .read(let counts, let steps):
      Output.note(
        "  \(counts.pairs) pairs, \(counts.labelled) with a label, \(counts.taught) with a teacher's record; "
          + "\(steps) steps")
      bar = ProgressBar("  Training", total: steps, isEnabled: isEnabled)
    case .warns(let warning): Output.note("  warning: \(warning)")
    case .progress(let progress):
      bar?.update(progress.step, note: String(format: "epoch %d  loss %.4f", progress.epoch, progress.loss))
      guard let value = progress.metrics?[watched] else { return }
      bar?.finish()
      Output.note("  step \(progress.step): \(watched) " + String(format: "%.4f", value))
    case .ends(_, let outcome):
      bar?.finish()
      bar = nil
      switch outcome {
      case .kept: Output.note("  finished before")
      case .diverged(let error): Output.note("  \(error)")
      case .trained, .interrupted: break
      }
    }
  }
}
