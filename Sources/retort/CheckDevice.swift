import ArgumentParser
import Basics
import CPUBackend
import DeviceCheck
import Foundation
import OpenCLBackend
import OpenCLRuntime
import Tensors

struct CheckDevice: ParsableCommand {
  /// What results are held against.
  enum Oracle: String, ExpressibleByArgument, CaseIterable {
    case cpu, portable
  }

  static let configuration = CommandConfiguration(
    commandName: "check-device",
    abstract: "Checks every operation on an OpenCL device against the CPU backend.",
    discussion: """
      Run it on a new device or driver before trusting its results. Each operation runs on the same inputs on both; \
      products, norms and attention must also give a row the same bits in every batch. It exits with 1 where anything \
      differs.

      With --against portable the device's own plain kernels are the measure instead, which tells a wrong kernel \
      variant from a wrong compiler.

      Example: retort check-device --device 0
      """)

  @Option(help: "The OpenCL device's number in 'retort devices'.")
  var device: Int?
  @Option(help: ArgumentHelp("What results are held against.", valueName: "cpu|portable"))
  var against: Oracle = .cpu
  @Option(help: "Check one operation only.")
  var operation: String?
  @Flag(help: "Print JSON for machines instead of text for people.")
  var json = false

  func run() throws {
    if let operation, !DeviceCheck.operations.contains(operation) {
      throw RetortError(
        .invalidArgument, "no operation is called “\(operation)”", field: "operation",
        remedy: "Use one of \(DeviceCheck.operations.joined(separator: ", ")).")
    }
    let found = try RunOptions.openCLDevice(device)
    let backend = try OpenCLBackend(device: found)
    let oracle: any TrainingBackend =
      switch against {
      case .cpu: try CPUBackend(threads: nil)
      case .portable: try OpenCLBackend(device: found, family: .gpu, features: .portable)
      }
    let bar = ProgressBar("Checking", total: nil, isEnabled: !json)
    var done = 0
    let findings = DeviceCheck(device: backend, oracle: oracle).run(only: operation) { _ in
      done += 1
      bar.update(done)
    }
    bar.finish()
    Output.write(try json ? object(findings, found) : text(findings, found))
    if findings.contains(where: { $0.problem != nil }) { throw ExitCode(1) }
  }

  private func object(_ findings: [DeviceCheck.Finding], _ device: OpenCLDevice) throws -> String {
    let failures: [[String: Any]] = findings.filter { $0.problem != nil }.map {
      ["operation": $0.operation, "case": $0.detail, "problem": $0.problem ?? ""]
    }
    return try Output.json([
      "device": device.name, "driver": device.driverVersion, "against": against.rawValue,
      "cases": findings.count, "passed": findings.count - failures.count, "failures": failures,
    ])
  }

  private func text(_ findings: [DeviceCheck.Finding], _ device: OpenCLDevice) -> String {
    var text = "\(device.name), driver \(device.driverVersion), against \(against.rawValue)\n"
    text += "operation                       cases  failed  largest difference by what is allowed\n"
    var names: [String] = []
    for finding in findings where !names.contains(finding.operation) { names.append(finding.operation) }
    for name in names {
      let all = findings.filter { $0.operation == name }
      let failed = all.count { $0.problem != nil }
      let worst = all.compactMap(\.worst).max() ?? 0
      text += name.padding(toLength: 32, withPad: " ", startingAt: 0)
      text += String(format: "%5d %7d  %.3f\n", all.count, failed, worst)
    }
    for finding in findings {
      guard let problem = finding.problem else { continue }
      text += "failed: \(finding.operation) (\(finding.detail)): \(problem)\n"
    }
    let failed = findings.count { $0.problem != nil }
    return text
      + (failed == 0 ? "all \(findings.count) cases passed\n" : "\(failed) of \(findings.count) failed\n")
  }
}
