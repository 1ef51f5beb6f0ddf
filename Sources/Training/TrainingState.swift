/// How far a run has come: with parameters and moments, all that its continuation depends on.
public struct TrainingState: Sendable, Hashable, Codable {
  /// The best evaluation so far.
  public struct Best: Sendable, Hashable, Codable {
    public let step: Int
    public let metric: String
    public let value: Double
  }

  /// Why a run is over.
  public enum Ending: String, Sendable, Codable {
    /// All epochs were run.
    case completed
    /// The watched metric had not improved for as many evaluations as patience allows.
    case stoppedEarly = "stopped-early"
  }

  /// Of the checkpoint's layout.
  var format = TrainingState.currentFormat
  /// Optimiser steps taken.
  public internal(set) var step = 0
  /// Epochs that are complete, and batches of the one that is not.
  public internal(set) var epochsDone = 0
  public internal(set) var batchesDone = 0
  public internal(set) var best: Best?
  public internal(set) var evaluationsSinceBest = 0
  /// Set once the run is over.
  public internal(set) var ending: Ending?
  /// Everything that the numbers depend on, seeds and schedule among them, by name.
  public let settings: [String: String]

  static let currentFormat = 1

  init(settings: [String: String]) { self.settings = settings }
}
