import ArgumentParser
import Basics
import Foundation
import Labelling
import Relevance

/// How 'retort label' maps label distributions.
struct CalibrationOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Take each label's probability to the power 1/T: above 1 flattens, below 1 sharpens.", valueName: "T"))
  var temperatureLabel: Double?
  @Option(
    help: ArgumentHelp(
      """
      In place of --input: pairs with a human \"label\". Labels them, fits a temperature and a bias for each label \
      and stores them as --calibration NAME.
      """, valueName: "file"))
  var calibrate: String?
  @Option(
    help: ArgumentHelp(
      "Apply the calibration of this name, or store it with --calibrate; with a slash it is a file's path.",
      valueName: "name"))
  var calibration: String?

  func validate() throws {
    if let temperatureLabel, !LabelCalibration.temperatures.contains(temperatureLabel) {
      throw ValidationError("--temperature-label must be from 0.01 to 100.")
    }
    if temperatureLabel != nil, calibration != nil {
      throw ValidationError(
        "Give one of --temperature-label and --calibration; a calibration has a temperature.")
    }
    if calibrate != nil, calibration == nil {
      throw ValidationError("--calibrate needs --calibration NAME to store the result under.")
    }
  }

  /// Checks what can be checked before a model is loaded.
  ///
  /// - Throws: what reading the calibration or the human labels throws.
  func prepare(labels: LabelSet, limit: Int?) throws -> StoredCalibration? {
    guard let calibration else { return nil }
    guard let calibrate else { return try CalibrationStore.standard.read(calibration) }
    _ = try CalibrationStore.standard.path(calibration)
    try CalibrationExamples.check(input: calibrate, labels: labels, before: limit)
    return nil
  }

  /// What is applied to distributions: a stored calibration or the temperature.
  ///
  /// - Throws: `invalidArgument` where the calibration was fitted for another basis.
  func applied(_ stored: StoredCalibration?, _ basis: StoredCalibration.Basis) throws -> LabelCalibration? {
    if let stored {
      let calibration = try stored.calibration(for: basis)
      if let caution = stored.caution(for: basis) { Output.note("note: " + caution) }
      return calibration
    }
    guard let temperatureLabel, temperatureLabel != 1 else { return nil }
    return try LabelCalibration(temperature: temperatureLabel)
  }

  /// Fits and stores what `--calibrate` asks for.
  ///
  /// - Throws: what reading, fitting and writing throw.
  func fit(_ ledger: LedgerReader, labels: LabelSet, basis: StoredCalibration.Basis, limit: Int?) throws
    -> CalibrationReport?
  {
    guard let calibrate, let calibration else { return nil }
    let found = try CalibrationExamples(ledger, input: calibrate, labels: labels, before: limit)
    let name = calibration.contains("/") ? (calibration as NSString).lastPathComponent : calibration
    let stored = try StoredCalibration(fitting: found.examples, name: name, basis: basis)
    let path = try CalibrationStore.standard.write(stored, as: calibration)
    return CalibrationReport(stored: stored, found: found, argument: calibration, path: path)
  }
}

/// A fit for people and for machines.
struct CalibrationReport {
  let stored: StoredCalibration
  let found: CalibrationExamples
  /// The name as it was given.
  let argument: String
  let path: String

  private var rows: [(name: String, key: String, quality: CalibrationQuality)] {
    var rows = [("before", "before", stored.before), ("after", "after", stored.after)]
    if let heldOut = stored.heldOut { rows.append(("held out", "held_out", heldOut)) }
    return rows
  }

  var text: String {
    var out = String(
      format: "\ncalibration on %d pairs: temperature %.3f, bias", stored.before.count,
      stored.calibration.temperature)
    for (label, bias) in zip(stored.basis.labels, stored.calibration.bias) {
      out += " \(label) " + String(format: "%+.3f", bias)
    }
    out += "\n          log-loss  calibration error  accuracy\n"
    for (name, _, quality) in rows {
      out += name.padding(toLength: 10, withPad: " ", startingAt: 0)
      out += String(
        format: "%8.4f %18.4f %9.4f\n", quality.logLoss, quality.calibrationError, quality.accuracy)
    }
    if stored.heldOut != nil {
      out += "held out: on pairs of queries that the fit had not seen, in five parts\n"
    }
    if found.unlabelled > 0 { out += "\(found.unlabelled) pairs have no human label\n" }
    if found.unanswered > 0 { out += "\(found.unanswered) labelled pairs have no record\n" }
    for (label, count) in found.unknown.sorted(by: { $0.key < $1.key }).prefix(5) {
      out += "\(count) pairs are labelled \"\(label)\", which is not in the label set\n"
    }
    return out + "stored: \(path)\nto apply: retort label --calibration \(argument)\n"
  }

  var object: [String: Any] {
    var fields: [String: Any] = [
      "name": stored.calibration.name ?? "", "path": path, "temperature": stored.calibration.temperature,
      "bias": Dictionary(
        zip(stored.basis.labels, stored.calibration.bias), uniquingKeysWith: { first, _ in first }),
      "unlabelled": found.unlabelled, "unanswered": found.unanswered, "unknown_labels": found.unknown,
    ]
    for (_, key, quality) in rows {
      fields[key] = [
        "pairs": quality.count, "log_loss": quality.logLoss,
        "calibration_error": quality.calibrationError, "accuracy": quality.accuracy,
      ]
    }
    return fields
  }
}
