import ArgumentParser
import Basics
import CPUBackend
import Foundation
import OpenCLBackend
import OpenCLRuntime
import Tensors

extension ComputeMode: ExpressibleByArgument {}

/// Which backend to run on.
enum BackendChoice: String, ExpressibleByArgument, CaseIterable {
  case auto, cpu, opencl
}

/// How keys and values are kept.
enum KVCacheChoice: String, ExpressibleByArgument, CaseIterable {
  case auto, f32, bf16, int8

  /// The type it names, or what suits a mode.
  func type(_ compute: ComputeMode, headDim: Int, backend: any Backend) -> CacheType {
    switch self {
    case .auto: backend.cacheType(compute, headDim: headDim)
    case .f32: .f32
    case .bf16: .bf16
    case .int8: .int8
    }
  }
}

/// Options of every command that uses a device.
struct RunOptions: ParsableArguments {
  @Option(help: "Where to run: auto takes an OpenCL GPU if there is one, else the CPU.")
  var backend: BackendChoice = .auto

  @Option(
    help: ArgumentHelp(
      "The OpenCL device's number in 'retort devices'; 'retort label' takes several, too.",
      valueName: "n|n,n,…|all"))
  var device: DeviceList?

  @Option(help: "Threads of the CPU backend; all processors by default.")
  var threads: Int?

  @Option(
    help: ArgumentHelp(
      """
      How keys and values are kept: auto (f32 with --compute f32, else two bytes a number), f32; bf16 (two bytes) \
      and int8 (about one byte), CPU only.
      """, valueName: "auto|f32|bf16|int8"))
  var kvCache: KVCacheChoice = .auto

  @OptionGroup(title: "Profile") var profiling: ProfileOptions

  @Flag(help: "Print JSON for machines instead of text for people.")
  var json = false

  /// A backend, profiled where that is asked for.
  ///
  /// - Throws: `noDevice` where the asked device is not there; a usage error where several are asked for.
  func makeBackend() throws -> any Backend { profiled(try openBackend()) }

  /// These options for a command that starts and ends the profile itself.
  var withoutProfile: RunOptions {
    var options = self
    (options.profiling.profile, options.profiling.trace) = (nil, nil)
    return options
  }

  /// Profiles the backend where that is asked for.
  func profiled(_ backend: any Backend) -> any Backend {
    if profiling.isOn() { RunProfile.shared.attach(backend, profiling, json: json) }
    return backend
  }

  private func openBackend() throws -> any Backend {
    let number = try device?.single()
    switch backend {
    case .cpu: return try CPUBackend(threads: threads)
    case .opencl: return try Self.open(Self.openCLDevice(number))
    case .auto:
      if number != nil { return try Self.open(Self.openCLDevice(number)) }
      let gpu = (try? OpenCLPlatforms.devices())?.first { $0.kind == .gpu }
      if let gpu { return try Self.open(gpu) }
      return try CPUBackend(threads: threads)
    }
  }

  /// A backend on the device; a note where its table of launch parameters asks for what does not run there.
  static func open(_ device: OpenCLDevice) throws -> OpenCLBackend {
    let backend = try OpenCLBackend(device: device)
    if let caution = try backend.tuningCaution() { Output.note("note: \(device.name): " + caution) }
    return backend
  }

  /// The device of that number, by default the first GPU or the first device.
  ///
  /// - Throws: `noDevice` where it is not there.
  static func openCLDevice(_ number: Int?) throws -> OpenCLDevice {
    let devices = try OpenCLPlatforms.devices()
    let index = number ?? devices.first { $0.kind == .gpu }?.index ?? devices.first?.index ?? 0
    guard let found = devices.first(where: { $0.index == index }) else {
      throw RetortError(
        .noDevice, "there is no OpenCL device \(index)", field: "device",
        remedy: "'retort devices' lists the devices and their numbers.")
    }
    return found
  }
}

/// Options of every command that runs a model.
struct ModelOptions: ParsableArguments {
  @Option(help: "A .gguf file, a Hugging Face folder, or a name that Tools/fetch-model has fetched.")
  var model: String

  @Option(
    help: ArgumentHelp(
      """
      How weights are kept: f32 (accurate), bf16 (two bytes a weight), int8 (one byte), lean (as in \
      the file), auto.
      """, valueName: "auto|f32|bf16|int8|lean"))
  var compute: ComputeMode = .auto

  @Option(help: "Chat layout: chatml, llama3 or plain; found in the model by default.")
  var template: String?
}

/// Where fetched models lie, and how a name becomes a path.
enum ModelPath {
  static var cache: String {
    let environment = ProcessInfo.processInfo.environment
    let base = environment["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 }
    return (base ?? NSHomeDirectory() + "/.cache") + "/retort/models"
  }

  /// - Throws: `fileUnavailable` naming the models that are there.
  static func resolve(_ model: String) throws -> String {
    if FileManager.default.fileExists(atPath: model) { return model }
    let named = cache + "/" + model
    if !model.contains("/"), FileManager.default.fileExists(atPath: named) { return named }
    let known = ((try? FileManager.default.contentsOfDirectory(atPath: cache)) ?? [])
      .filter { !$0.hasPrefix(".") }.sorted()
    throw RetortError(
      .fileUnavailable, "no such model", file: model, field: "model",
      remedy: "Give a path, or fetch it with Tools/fetch-model. Fetched: "
        + (known.isEmpty ? "none" : known.joined(separator: ", ")) + ".")
  }
}
