import Basics
import Foundation
import OpenCLBackend
import OpenCLRuntime

extension Devices {
  /// Prints each device's model as tables or as JSON.
  func runProbe() throws {
    var devices = try OpenCLPlatforms.devices()
    if let device {
      devices = devices.filter { $0.index == device }
      guard !devices.isEmpty else {
        throw RetortError(
          .noDevice, "there is no OpenCL device \(device)", field: "device",
          remedy: "'retort devices' lists the devices and their numbers.")
      }
    }
    var listed: [Listed] = []
    for device in devices {
      let model = try DeviceModelStore.standard.model(of: device, measured: true, refresh: refresh)
      // A table that is broken is an error where kernels are about to run.
      let caution = try? Tuning.of(device).caution(KernelFamily(device.kind), model.features)
      if json {
        listed.append(Listed(index: device.index, model: model, caution: caution))
      } else {
        Output.write("opencl device \(device.index)\n" + DeviceTable(model).text)
        if let caution { Output.write("  note: \(caution)\n") }
        if let path = DeviceModelStore.standard.path(device) { Output.write("  kept in \(path)\n") }
      }
    }
    guard json else { return }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    Output.write(String(decoding: try encoder.encode(["devices": listed]), as: UTF8.self) + "\n")
  }

  /// A model with the device's number among its fields, and what there is to say of its launch parameters.
  private struct Listed: Encodable {
    enum Key: String, CodingKey {
      case index
      case caution = "note"
    }
    let index: Int
    let model: DeviceModel
    let caution: String?

    func encode(to encoder: any Encoder) throws {
      try model.encode(to: encoder)
      var container = encoder.container(keyedBy: Key.self)
      try container.encode(index, forKey: .index)
      try container.encodeIfPresent(caution, forKey: .caution)
    }
  }
}

/// A device's model as lines of a name and a value.
struct DeviceTable {
  let text: String

  init(_ model: DeviceModel) {
    var lines: [(String, String)] = [
      ("name", model.name), ("vendor", "\(model.vendor.rawValue) (\(model.vendorName))"),
      ("class", model.kind.rawValue), ("architecture", model.architecture),
      ("platform", "\(model.platform), driver \(model.driver), \(model.version)"),
    ]
    lines += Self.limits(model)
    lines += [
      ("half arithmetic", model.features.halfArithmetic ? "yes" : "no"),
      ("integer dot product", model.features.integerDotProduct ? "yes" : "no"),
      ("command buffers", model.commandBuffers ? "yes" : "no"),
      ("subgroup matrix", model.subgroupMatrix ? "yes" : "no"),
      ("warp instructions", model.features.warpInstructions.rawValue),
      ("warpgroup instructions", model.features.warpgroupInstructions.rawValue),
    ]
    lines += model.instructions.map {
      ("  " + $0.name, Self.text($0.works) { $0 ? "runs" : "computes something else" })
    }
    if let binary = model.binary { lines += Self.binary(binary) }
    if let rates = model.rates { lines += Self.rates(rates) }
    text = lines.map { name, value in
      "  " + name.padding(toLength: 28, withPad: " ", startingAt: 0) + value + "\n"
    }.joined()
  }

  private static func limits(_ model: DeviceModel) -> [(String, String)] {
    let limits = model.limits
    let sizes = model.features.subgroupSizes
    return [
      ("memory", "\(gib(limits.memoryBytes)), largest allocation \(gib(limits.maxAllocationBytes))"),
      ("cache", text(limits.cacheBytes) { "\($0 / 1024) KiB" }),
      (
        "local memory",
        "\(limits.localMemoryBytes / 1024) KiB"
          + (model.largestLocalBytes.value.map { ", runs with \($0 / 1024) KiB" } ?? "")
      ),
      ("compute units", "\(limits.computeUnits)"),
      ("clock", text(limits.clockMegahertz) { "\($0) MHz" }),
      ("largest work-group", "\(limits.maxWorkGroupSize)"),
      ("wave width", text(model.waveWidth) { "\($0)" }),
      ("registers per block", text(model.registersPerBlock) { "\($0)" }),
      ("subgroup sizes", sizes.isEmpty ? "none" : sizes.map(String.init).joined(separator: " ")),
    ]
  }

  private static func binary(_ binary: DeviceModel.ProgramBinary) -> [(String, String)] {
    func taken(_ probed: Probed<Bool>) -> String { text(probed) { $0 ? "runs" : "computes something else" } }
    guard binary.ptxTarget.value != nil else { return [("PTX as binary", text(binary.ptxTarget) { $0 })] }
    return [
      ("PTX as binary", text(binary.ptxTarget) { "for \($0)" }), ("  taken back", taken(binary.takesOwnPTX)),
      ("  for sm_90a", taken(binary.takesRetargetedPTX)), ("  with wgmma.fence", taken(binary.takesWGMMA)),
    ]
  }

  private static func rates(_ rates: DeviceModel.Rates) -> [(String, String)] {
    [
      ("copy", text(rates.copyGigabytesPerSecond) { number($0) + " GB/s read and written" }),
      ("read", text(rates.readGigabytesPerSecond) { number($0) + " GB/s" }),
      ("multiply-adds, f32", text(rates.f32Gigaflops) { number($0) + " GFLOP/s" }),
      ("multiply-adds, f16", text(rates.f16Gigaflops) { number($0) + " GFLOP/s" }),
      ("mma.sync, bf16", text(rates.bf16MatrixGigaflops) { number($0) + " GFLOP/s" }),
      ("launch", text(rates.launchMicroseconds) { number($0) + " µs, many in a row" }),
      ("launch and wait", text(rates.launchAndFinishMicroseconds) { number($0) + " µs" }),
      ("measured", rates.measuredAt),
    ]
  }

  private static func text<Value>(_ probed: Probed<Value>, _ format: (Value) -> String) -> String {
    switch probed {
    case .known(let value): format(value)
    case .absent(let reason): "absent: \(reason)"
    }
  }

  private static func number(_ value: Double) -> String {
    String(format: value < 100 ? "%.2f" : "%.0f", value)
  }

  private static func gib(_ bytes: Int) -> String {
    String(format: "%.1f GiB", Double(bytes) / 1_073_741_824)
  }
}
