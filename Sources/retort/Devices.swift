import ArgumentParser
import Basics
import CPUBackend
import Foundation
import OpenCLRuntime

struct Devices: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Lists the backends and the devices they can run on.",
    discussion: """
      With --probe each OpenCL device is asked for its limits and instructions, and its copy bandwidth, arithmetic \
      and launch cost are measured; the result is kept for each device and driver.

      Example: retort devices --probe --device 0
      """)

  @Flag(help: "Print JSON for machines instead of text for people.")
  var json = false

  @Flag(help: "Measure each OpenCL device, or print what was measured before.")
  var probe = false
  @Flag(help: "With --probe: measure anew.")
  var refresh = false
  @Option(help: "With --probe: this OpenCL device alone.")
  var device: Int?

  func validate() throws {
    guard probe || (!refresh && device == nil) else {
      throw ValidationError("--refresh and --device belong to --probe.")
    }
  }

  func run() throws {
    if probe { return try runProbe() }
    let cpu = try CPUBackend(threads: nil)
    let (devices, problem) = openCL()
    if json {
      let all: [[String: Any]] =
        [
          [
            "backend": "cpu", "name": cpu.device.name, "kind": "cpu", "memory_bytes": cpu.device.memoryBytes,
            "compute_units": cpu.device.computeUnits,
          ]
        ] + devices.map(Devices.object)
      return Output.write(try Output.json(["devices": all]))
    }
    Output.write("cpu backend\n")
    Output.write("  \(cpu.device.name), \(cpu.device.computeUnits) threads, \(gib(cpu.device.memoryBytes))\n")
    for device in devices {
      Output.write(
        "opencl device \(device.index)\(device.kind == .gpu ? " (taken by --backend auto)" : "")\n")
      Output.write("  \(device.name) (\(device.kind.rawValue), \(device.vendor))\n")
      Output.write("  platform \(device.platformName), driver \(device.driverVersion), \(device.version)\n")
      Output.write(
        "  memory \(gib(device.memoryBytes)), largest allocation \(gib(device.maxAllocationBytes)), "
          + "local \(device.localMemoryBytes / 1024) KiB, \(device.computeUnits) compute units\n")
      let notable = Devices.notable.filter(device.has)
      Output.write("  extensions: \(notable.isEmpty ? "none of note" : notable.joined(separator: " "))\n")
    }
    if let problem { Output.note("no OpenCL device: \(problem)") }
  }

  /// Extensions that a kernel variant may ask for.
  static let notable = [
    "cl_khr_fp16", "cl_khr_fp64", "cl_khr_subgroups", "cl_intel_subgroups", "cl_khr_integer_dot_product",
    "cl_khr_command_buffer", "cl_nv_device_attribute_query", "cl_intel_subgroup_matrix_multiply_accumulate",
    "cl_khr_int64_base_atomics", "cl_khr_il_program",
  ]

  private func openCL() -> ([OpenCLDevice], RetortError?) {
    do {
      return (try OpenCLPlatforms.devices(), nil)
    } catch let error as RetortError {
      return ([], error)
    } catch {
      return ([], nil)
    }
  }

  private func gib(_ bytes: Int) -> String { String(format: "%.1f GiB", Double(bytes) / 1_073_741_824) }

  private static func object(_ device: OpenCLDevice) -> [String: Any] {
    [
      "backend": "opencl", "index": device.index, "name": device.name, "kind": device.kind.rawValue,
      "vendor": device.vendor, "platform": device.platformName, "driver": device.driverVersion,
      "version": device.version, "opencl_c_version": device.openCLCVersion,
      "memory_bytes": device.memoryBytes, "max_allocation_bytes": device.maxAllocationBytes,
      "local_memory_bytes": device.localMemoryBytes, "compute_units": device.computeUnits,
      "max_work_group_size": device.maxWorkGroupSize, "extensions": device.extensions,
    ]
  }
}
