import Basics
import Foundation

/// A calibration as it is kept in a file: with what it was fitted for and how well it does.
public struct StoredCalibration: Sendable, Equatable {
  /// What distributions depend on: a calibration fitted for one says nothing about another.
  public struct Basis: Sendable, Equatable {
    public let model: String
    /// A fingerprint of the model's files.
    public let modelFingerprint: String
    public let promptHash: String
    public let labels: [String]
    /// Settings of the labelling, by the names users know them by.
    public let settings: [String: String]

    /// Settings that change a distribution by rounding alone, or that another fact covers.
    static let ignored: Set<String> = [
      "backend", "context", "kv-cache", "labels", "max-tokens", "reasoning", "calibration",
      "temperature-label",
      // A calibration maps one reading; how many rationales are then read and voted on is another matter.
      "samples", "temperature", "top-p", "seed", "all-samples",
    ]
    /// Kept, but no ground to refuse: a calibration holds nearly as well.
    static let tolerated = "compute"

    /// - Parameter settings: those of a job; the ones that do not shape distributions are dropped.
    public init(
      model: String, modelFingerprint: String, promptHash: String, labels: [String],
      settings: [String: String] = [:]
    ) {
      self.model = model
      self.modelFingerprint = modelFingerprint
      self.promptHash = promptHash
      self.labels = labels
      self.settings = settings.filter { !Basis.ignored.contains($0.key) }
    }

    /// What another basis differs in, for people: `model was a, is b`.
    public func differences(from other: Basis) -> [String] {
      var found: [String] = []
      func compare(_ name: String, _ was: String?, _ now: String?) {
        guard was != now else { return }
        found.append("\(name) was \(Basis.shown(was)), is \(Basis.shown(now))")
      }
      compare("model", model, other.model)
      if model == other.model { compare("the model's files", modelFingerprint, other.modelFingerprint) }
      compare("labels", labels.joined(separator: ", "), other.labels.joined(separator: ", "))
      compare("prompt", promptHash, other.promptHash)
      for name in Set(settings.keys).union(other.settings.keys).sorted() where name != Basis.tolerated {
        compare(name, settings[name], other.settings[name])
      }
      return found
    }

    private static func shown(_ value: String?) -> String {
      guard let value else { return "unset" }
      return value.count > 48 ? value.prefix(12) + "…" : value
    }
  }

  public let calibration: LabelCalibration
  public let basis: Basis
  /// Pairs of each label, in label-set order.
  public let counts: [Int]
  public let before: CalibrationQuality
  /// On the pairs that it was fitted on.
  public let after: CalibrationQuality
  /// On pairs that a fit had not seen; nil where they were too few to hold any out.
  public let heldOut: CalibrationQuality?

  public init(
    calibration: LabelCalibration, basis: Basis, counts: [Int], before: CalibrationQuality,
    after: CalibrationQuality, heldOut: CalibrationQuality?
  ) {
    self.calibration = calibration
    self.basis = basis
    self.counts = counts
    self.before = before
    self.after = after
    self.heldOut = heldOut
  }

  /// Fits a calibration for `basis`.
  ///
  /// - Throws: what ``CalibrationFit/fit(_:name:)`` throws.
  public init(fitting examples: [CalibrationExample], name: String, basis: Basis) throws {
    let calibration = try CalibrationFit.fit(examples, name: name)
    var counts = [Int](repeating: 0, count: basis.labels.count)
    for example in examples where counts.indices.contains(example.label) { counts[example.label] += 1 }
    self.init(
      calibration: calibration, basis: basis, counts: counts, before: CalibrationQuality(examples),
      after: try CalibrationQuality(examples, calibratedBy: calibration),
      heldOut: try CalibrationQuality.heldOut(examples))
  }

  /// What makes the calibration hold a little less well on `basis`, for people; nil where nothing does.
  public func caution(for basis: Basis) -> String? {
    let (was, now) = (self.basis.settings[Basis.tolerated], basis.settings[Basis.tolerated])
    guard let was, let now, was != now else { return nil }
    return
      "the calibration was fitted in \(was) and is applied in \(now), whose distributions differ a little; "
      + "fit one in \(now) for the best figures"
  }

  /// The calibration, for labels made on `basis`.
  ///
  /// - Throws: `invalidArgument` saying what differs where it was fitted for another.
  public func calibration(for basis: Basis) throws -> LabelCalibration {
    let differences = self.basis.differences(from: basis)
    guard differences.isEmpty else {
      throw RetortError(
        .invalidArgument,
        "the calibration \"\(calibration.name ?? "")\" was fitted for something else: "
          + differences.joined(separator: "; "),
        field: "calibration",
        remedy: "Fit one for this with --calibrate and another name, or label with what it was fitted for.")
    }
    return calibration
  }
}
