import Basics
import Foundation
import ModelFormats
import Relevance

/// The table of a grid: for each student and losses the metrics over all seeds, and the difference to `hard`.
public struct AblationReport: Sendable, Codable, Equatable {
  /// A row of the table.
  public struct Row: Sendable, Codable, Equatable {
    public let student: StudentKind
    public let losses: [String]
    public let seeds: [UInt64]
    /// The mean over the seeds, and its difference to the student's row of `hard` alone.
    public let result: EvaluationGroup
    /// Each seed's own metrics, in the order of `seeds`.
    public let runs: [Evaluation]
    /// Seeds whose training diverged.
    public let diverged: [UInt64]

    public var name: String { losses.joined(separator: "+") }
  }

  /// The teacher's own records of the held-out pairs.
  public struct Teacher: Sendable, Codable, Equatable {
    public let evaluation: Evaluation
    /// Pairs that have a record, of so many.
    public let pairs: Int
    public let total: Int
  }

  public let dev: String
  public let resamples: Int
  public let pairs: Int
  public let queries: Int
  public let rows: [Row]
  public let teacher: Teacher?

  /// Measures the predictions of all folders.
  ///
  /// - Parameter diverged: cells that have no predictions.
  /// - Throws: what reading the predictions and joining them with the held-out pairs throws.
  public init(
    _ configuration: AblationConfiguration, labels: LabelSet,
    diverged: Set<AblationConfiguration.Cell> = []
  ) throws {
    var job = EvaluationJob(
      input: configuration.dev, labels: labels,
      bootstrap: try QueryBootstrap(resamples: configuration.resamples, seed: 0))
    var rows: [Row] = []
    for student in configuration.students {
      rows += try Self.rows(student, configuration, job, diverged)
    }
    self.rows = rows
    dev = configuration.dev
    resamples = configuration.resamples
    let counts = rows.first?.runs.first?.counts
    (pairs, queries) = (counts?.pairs ?? 0, counts?.queries ?? 0)
    job.gaps = .counted
    teacher = try configuration.teacherDev.map { path in
      let report = try job.evaluate(path).report
      return Teacher(
        evaluation: report.overall, pairs: report.coverage.evaluated,
        total: report.coverage.evaluated + report.coverage.missing)
    }
  }

  private static func rows(
    _ student: StudentKind, _ configuration: AblationConfiguration, _ job: EvaluationJob,
    _ diverged: Set<AblationConfiguration.Cell>
  ) throws -> [Row] {
    let cells = configuration.losses.map { losses in
      configuration.seeds.map { AblationConfiguration.Cell(student: student, losses: losses, seed: $0) }
    }
    let kept = cells.map { $0.filter { !diverged.contains($0) } }
    let measured = kept.indices.filter { !kept[$0].isEmpty }
    let files = measured.map { row in
      kept[row].map { configuration.folder($0) + "/" + DistillationRun.predictionsFileName }
    }
    guard !files.isEmpty else { return [] }
    let groups = try job.compare(
      groups: files, baseline: measured.firstIndex { configuration.losses[$0] == [.hard] })
    return try zip(measured, groups).enumerated().map { place, item in
      let (row, group) = item
      return Row(
        student: student, losses: configuration.losses[row].map(\.rawValue), seeds: kept[row].map(\.seed),
        result: group, runs: try files[place].map { try job.evaluate($0).report.overall },
        diverged: cells[row].filter(diverged.contains).map(\.seed))
    }
  }

  /// Writes `ablation.json` and `ablation.md` into a folder.
  ///
  /// - Throws: `fileUnavailable` or `writeFailed`.
  public func write(to folder: String) throws {
    try AtomicText.write(json: self, to: folder + "/ablation.json")
    try AtomicText.write(markdown, to: folder + "/ablation.md")
  }
}
