import Basics
import Foundation
import Relevance

/// What the numbers of a distillation may be, for the command line and for a grid's configuration.
enum SettingLimits {
  static let epochs = 1...1_000_000
  static let batch = 1...1_000_000
  static let batchTokens = 1...(1 << 30)
  static let slotWidth = 1...(1 << 16)
  static let counts = 1...Int.max
  static let learningRate = Double.leastNonzeroMagnitude...1
  static let weights = 0...1e6
  static let warmUp = 0.0...1
  static let weightDecay = 0...1e3
  static let layerDecay = 1e-6...1
  static let dropout = 0...0.999
  static let clip = 0...1e9
  static let checkpointSeconds = Double.leastNonzeroMagnitude...1e9
  /// A probability to the power of 1/τ stays a number within it.
  static let temperature = 0.01...1000
}

extension DistillationSettings {
  /// Refuses numbers that no run can have, before anything is read.
  ///
  /// - Throws: `invalidArgument` naming the option and its range.
  public func check() throws {
    func require<Number: Comparable>(_ value: Number?, _ range: ClosedRange<Number>, _ option: String) throws
    {
      guard let value, !range.contains(value) else { return }
      throw RetortError(
        .invalidArgument, "\(value) is out of range", field: option,
        remedy: "Give a number from \(range.lowerBound) to \(range.upperBound).")
    }
    try require(epochs, SettingLimits.epochs, "epochs")
    try require(batch, SettingLimits.batch, "batch")
    try require(batchTokens, SettingLimits.batchTokens, "batch-tokens")
    try require(slotWidth, SettingLimits.slotWidth, "slot-width")
    try require(learningRate, SettingLimits.learningRate, "lr")
    try require(warmUp, SettingLimits.warmUp, "warm-up")
    try require(weightDecay, SettingLimits.weightDecay, "weight-decay")
    try require(layerDecay, SettingLimits.layerDecay, "layer-decay")
    try require(dropout, SettingLimits.dropout, "dropout")
    try require(clip, SettingLimits.clip, "clip")
    try require(temperature, SettingLimits.temperature, "temperature")
    try require(evaluateEvery, SettingLimits.counts, "evaluate-every")
    try require(patience, SettingLimits.counts, "patience")
    try require(limit, SettingLimits.counts, "limit")
    for term in LossTerm.allCases { try require(weights[term.rawValue], SettingLimits.weights, "weights") }
  }
}

/// The folder that a run writes its student to.
enum OutputFolder {
  /// Refuses a folder that cannot be written, or that holds a model which is no run's to overwrite, before hours of
  /// training.
  ///
  /// - Throws: `fileUnavailable` or `jobConflict`, naming the file that is in the way.
  static func check(_ path: String) throws {
    try Folder.checkWritable(path)
    let names = Set((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [])
    guard !names.contains(where: { $0.hasPrefix("checkpoint-") }),
      let taken = StudentFolder.fileNames.first(where: names.contains)
    else { return }
    throw RetortError(
      .jobConflict, "the folder holds files that are not of a run that can go on", file: path + "/" + taken,
      remedy: "Give the run another folder: its student would take the place of these files.")
  }
}
