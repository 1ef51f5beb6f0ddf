import ArgumentParser
import Basics
import Foundation
import OpenCLBackend
import OpenCLRuntime

struct Tune: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures which launch parameters are fastest on an OpenCL device, and keeps them.",
    discussion: """
      For each kernel with parameters, and each class of shapes, choices from the declared ranges are checked \
      against the portable kernels and timed; the fastest are written to retort/tuned in the user's cache, where \
      every command finds them. Leave the device alone meanwhile. A run that is stopped changes nothing.

      Example: retort tune --device 0 --budget 120
      """)

  @Option(help: "The OpenCL device's number in 'retort devices'.")
  var device: Int?
  @Option(help: ArgumentHelp("How long to search.", valueName: "seconds"))
  var budget = 60.0
  @Option(
    help: ArgumentHelp(
      "Only these kernels, by the start of their names, with commas between them.", valueName: "name,…"))
  var family: String?
  @Flag(help: "Print JSON for machines instead of text for people.")
  var json = false
  @Flag(help: "Measure and print, but write nothing.")
  var dryRun = false

  func validate() throws {
    guard budget > 0, budget <= 86_400 else {
      throw ValidationError("Give a --budget of more than 0 and at most 86400 seconds.")
    }
  }

  func run() throws {
    let device = try RunOptions.openCLDevice(device)
    // Some instructions of NVIDIA's GPUs are tried with the measurements alone.
    if DeviceProbe.takesPTX(device) {
      _ = try DeviceModelStore.standard.model(of: device, measured: true)
    }
    // A table that is broken is about to be replaced.
    let tuner = try Tuner(
      device: device, settings: .init(budgetSeconds: budget), kernels: try chosen(),
      earlier: try? Tuning.of(device))
    guard !tuner.pairs.isEmpty else {
      throw RetortError(
        .invalidArgument, "this device runs no kernel named \(family ?? "")", field: "family",
        remedy: "Name kernels that this device runs, or leave --family out.")
    }
    if let caution = try tuner.caution() { Output.note("note: " + caution) }
    let bar = ProgressBar("tune", total: tuner.pairs.count, isEnabled: !json)
    let findings = try tuner.run { bar.update($0, note: $1) }
    bar.finish()
    let path = dryRun ? nil : try write(tuner, findings)
    if json { return Output.write(try Output.json(TuneReport.object(findings, device, path))) }
    Output.write(TuneReport.text(findings, device))
    if let path { Output.write("kept in \(path)\n") }
  }

  /// - Throws: a usage error naming the kernels there are.
  private func chosen() throws -> [TunableKernel] {
    guard let family else { return TunableKernel.all }
    return try family.split(separator: ",").flatMap { part in
      let found = TunableKernel.all.filter { $0.name.hasPrefix(part) }
      guard !found.isEmpty else {
        throw ValidationError(
          "No kernel is named \(part). There are \(TunableKernel.all.map(\.name).joined(separator: ", ")).")
      }
      return found
    }
  }

  /// Writes the table over the device's own; entries of kernels that were not searched now stay.
  private func write(_ tuner: Tuner, _ findings: [Tuner.Finding]) throws -> String {
    guard let path = Tuner.path(tuner.device) else {
      throw RetortError(
        .fileUnavailable, "there is no folder for the table", field: "XDG_CACHE_HOME",
        remedy: "Set XDG_CACHE_HOME or HOME.")
    }
    var older: TuningTable?
    if let data = FileManager.default.contents(atPath: path) {
      do { older = try TuningTable(json: data, file: path) } catch {
        Output.note("the table that was there is replaced: \(error)")
      }
    }
    try tuner.table(findings, over: older).write(to: path)
    return path
  }
}

/// What a tuner found, for people and for machines.
enum TuneReport {
  static func text(_ findings: [Tuner.Finding], _ device: OpenCLDevice) -> String {
    var text = "device \(device.index), \(device.name)\n"
    let rows = findings.map { finding in
      [
        finding.kernel, finding.shapeClass, finding.defaults.description,
        finding.best == finding.defaults ? "the same" : finding.best.description,
        rate(finding, finding.defaultSeconds), rate(finding, finding.bestSeconds),
        finding.failure == nil ? String(format: "%+.0f %%", finding.gain * 100) : "",
        finding.failure ?? "\(finding.timed)/\(finding.choices)",
      ]
    }
    let head = ["kernel", "class", "shipped", "best", "shipped", "best", "gain", "timed"]
    let widths = head.indices.map { column in ([head] + rows).map { $0[column].count }.max() ?? 0 }
    for row in [head] + rows {
      let line = zip(row, widths).map { $0.padding(toLength: $1, withPad: " ", startingAt: 0) }
        .joined(separator: "  ")
      text += String(line.reversed().drop { $0 == " " }.reversed()) + "\n"
    }
    for finding in findings {
      for reason in finding.rejected { text += "wrong results, left out: \(finding.kernel) \(reason)\n" }
    }
    let refused = findings.reduce(0) { $0 + $1.refused.count }
    if refused > 0 { text += "\(refused) choices were refused by the device\n" }
    return text
  }

  /// GFLOP/s where arithmetic weighs more than ten operations a byte, else GB/s.
  private static func rate(_ finding: Tuner.Finding, _ seconds: Double) -> String {
    guard finding.failure == nil, seconds > 0 else { return "" }
    return finding.flops > 10 * finding.bytes
      ? String(format: "%.1f GFLOP/s", Double(finding.flops) / seconds / 1e9)
      : String(format: "%.1f GB/s", Double(finding.bytes) / seconds / 1e9)
  }

  static func object(_ findings: [Tuner.Finding], _ device: OpenCLDevice, _ path: String?) -> [String: Any] {
    let found: [[String: Any]] = findings.map { finding in
      var object: [String: Any] = [
        "kernel": finding.kernel, "class": finding.shapeClass, "default": finding.defaults.values,
        "best": finding.best.values, "timed": finding.timed, "choices": finding.choices,
        "refused": finding.refused, "rejected": finding.rejected,
      ]
      if let failure = finding.failure {
        object["failure"] = failure
      } else {
        object["default_microseconds"] = finding.defaultSeconds * 1e6
        object["microseconds"] = finding.bestSeconds * 1e6
        object["gflops"] = Double(finding.flops) / finding.bestSeconds / 1e9
        object["gigabytes_per_second"] = Double(finding.bytes) / finding.bestSeconds / 1e9
      }
      return object
    }
    var object: [String: Any] = ["device": device.index, "name": device.name, "findings": found]
    if let path { object["file"] = path }
    return object
  }
}
