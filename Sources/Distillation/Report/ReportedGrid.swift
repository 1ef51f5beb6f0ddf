import Basics
import Foundation
import Relevance

/// The folder of a grid, as `retort ablate` writes it.
public struct ReportedGrid: Sendable {
  /// The folder, as it was given.
  public let path: String
  public let table: AblationReport
  /// Runs whose own metrics are not those that the table was made of.
  public internal(set) var stale: [String] = []

  /// The grids among the folders: those that hold a table.
  ///
  /// - Parameter runs: what ``RunFolder`` read of the same folders.
  /// - Throws: `malformedFile` for a table that is none.
  public static func read(_ paths: [String], runs: [ReportedRun]) throws -> [ReportedGrid] {
    try paths.compactMap { path in
      let file = (path.hasSuffix("/") ? path : path + "/") + "ablation.json"
      guard FileManager.default.fileExists(atPath: file) else { return nil }
      var grid = ReportedGrid(
        path: path,
        table: try RunFolder.decoded(
          file, "not a table of 'retort ablate'", "Run 'retort ablate' again; it keeps what is trained."))
      grid.stale = runs.filter { grid.holds($0) && !grid.isCurrent($0) }.map(\.name)
      return grid
    }
  }

  /// Whether a run is one of the grid's folders.
  func holds(_ run: ReportedRun) -> Bool {
    let start = path.hasSuffix("/") ? path : path + "/"
    return run.path.hasPrefix(start) && !run.path.dropFirst(start.count).contains("/")
  }

  /// Whether the table has the run's metrics.
  private func isCurrent(_ run: ReportedRun) -> Bool {
    guard let own = run.evaluation?.overall else { return false }
    let folder = run.path.split(separator: "/").last.map(String.init) ?? ""
    for row in table.rows {
      for (seed, evaluation) in zip(row.seeds, row.runs)
      where folder == "\(row.student.rawValue)-\(row.name)-seed\(seed)" {
        return Metric.allCases.allSatisfy { own[$0].value == evaluation[$0].value }
      }
    }
    return false
  }

  /// The order of a grid's folders: the student, fewer losses first, numbers by their value.
  static func precedes(_ a: String, _ b: String) -> Bool {
    let (x, y) = (Place(a), Place(b))
    if x.student != y.student { return x.student < y.student }
    if x.losses != y.losses { return x.losses.lexicographicallyPrecedes(y.losses) }
    return x.seed != y.seed ? x.seed < y.seed : a < b
  }

  /// What a folder's name says: `interaction-hard+score-seed1`.
  private struct Place {
    let student: Substring
    /// How many losses, then their places.
    let losses: [Int]
    let seed: UInt64

    init(_ name: String) {
      let parts = name.split(separator: "-", omittingEmptySubsequences: false)
      student = parts.first ?? ""
      let terms = parts.dropFirst().first?.split(separator: "+") ?? []
      let known = LossTerm.allCases.map { Substring($0.rawValue) }
      losses = [terms.count] + terms.map { known.firstIndex(of: $0) ?? known.count }
      seed = parts.last.flatMap { $0.hasPrefix("seed") ? UInt64($0.dropFirst(4)) : nil } ?? 0
    }
  }
}
