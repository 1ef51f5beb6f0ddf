import ArgumentParser
import Basics
import CPUBackend
import Foundation
import Generation
import Labelling
import OpenCLBackend
import OpenCLRuntime
import Tensors

/// The devices of a labelling job, each with the model loaded.
struct LabelDevices {
  /// A device before it is opened.
  struct Plan {
    let name: String
    let makeBackend: () throws -> any Backend
  }

  private let names: [String]
  private let sessions: [ModelSession]

  /// The model on the first device; the others have copies of it.
  var first: ModelSession { sessions[0] }
  var count: Int { sessions.count }

  /// Opens the devices that `run` names and loads the model on one after the other.
  ///
  /// - Throws: what opening and loading throw, with the device named where there are several.
  init(_ options: ModelOptions, _ run: RunOptions) throws {
    let plans = try run.plans()
    var sessions: [ModelSession] = []
    for (index, plan) in plans.enumerated() {
      let title = plans.count == 1 ? "Loading" : "Loading on \(plan.name)"
      do {
        if let first = sessions.first {
          sessions.append(
            try ModelSession(first, showsProgress: !run.json, title: title, makeBackend: plan.makeBackend))
        } else {
          sessions.append(
            try ModelSession(options, run, title: title, makeBackend: plan.makeBackend))
        }
      } catch let error as RetortError where plans.count > 1 && error.file == nil {
        throw LabelDevices.named(error, plans[index].name)
      }
    }
    self.sessions = sessions
    names = plans.count == 1 ? sessions.map(\.backend.device.name) : plans.map(\.name)
    let kinds = Set(sessions.map(\.backend.device.name))
    if kinds.count > 1 {
      Output.note(
        "the devices differ (\(kinds.sorted().joined(separator: ", "))): the last digits of a pair's numbers may "
          + "depend on which of them labels it")
    }
  }

  /// Tuned launch parameters on which the bits of results depend; nil where they are as every device has them.
  func kernelParameters() throws -> String? {
    let texts = try sessions.compactMap { try $0.backend.bitChangingParameters(of: .generation) }
    return texts.isEmpty ? nil : Set(texts).sorted().joined(separator: "; ")
  }

  /// A pool with a labeller for each device.
  ///
  /// - Throws: what `make` throws, with the device named where there are several.
  func makePool(_ make: (ModelSession) throws -> EngineLabeller) throws -> (DevicePool, [EngineLabeller]) {
    var labellers: [EngineLabeller] = []
    for (session, name) in zip(sessions, names) {
      do { labellers.append(try make(session)) } catch let error as RetortError where count > 1 {
        throw LabelDevices.named(error, name)
      }
    }
    let pool = try DevicePool(zip(names, labellers).map { DevicePool.Device(name: $0, labeller: $1) })
    pool.deviceLost = {
      Output.note("\($0)\n  Its pairs go to the other devices.")
    }
    return (pool, labellers)
  }

  /// What each device did, for machines.
  static func objects(_ counts: [DevicePool.Count]) -> [[String: Any]] {
    counts.map { count in
      var object: [String: Any] = ["name": count.name, "pairs": count.pairs]
      if let error = count.error {
        object["error"] = ["code": error.code.rawValue, "message": error.message]
      }
      return object
    }
  }

  /// What each of several devices did, a line each.
  static func text(_ counts: [DevicePool.Count]) -> String {
    guard counts.count > 1 else { return "" }
    return counts.map { count in
      "\(count.name): \(count.pairs) pairs"
        + (count.error.map { ", then failed: \($0.message)" } ?? "") + "\n"
    }.joined()
  }

  private static func named(_ error: RetortError, _ device: String) -> RetortError {
    RetortError(
      error.code, "\(device): \(error.message)", file: error.file, field: error.field,
      position: error.position, remedy: error.remedy)
  }
}

extension RunOptions {
  /// The devices that are asked for, in order.
  ///
  /// - Throws: `noDevice` where one is not there; `invalidArgument` where there are fewer threads than engines.
  func plans() throws -> [LabelDevices.Plan] {
    switch (backend, device) {
    case (.cpu, .numbers(let numbers)) where numbers.count > 1: return try processorPlans(numbers.count)
    case (.opencl, .numbers(let numbers)), (.auto, .numbers(let numbers)):
      return try numbers.map { plan(try RunOptions.openCLDevice($0)) }
    case (.opencl, .all): return try allDevices().map(plan)
    case (.auto, .all):
      let gpus = ((try? OpenCLPlatforms.devices()) ?? []).filter { $0.kind == .gpu }
      if !gpus.isEmpty { return gpus.map(plan) }
    default: break
    }
    var options = self
    options.device = nil
    return [LabelDevices.Plan(name: "device", makeBackend: options.makeBackend)]
  }

  private func plan(_ device: OpenCLDevice) -> LabelDevices.Plan {
    LabelDevices.Plan(name: "device \(device.index) (\(device.name))") {
      profiled(try RunOptions.open(device))
    }
  }

  /// All GPUs; where there is none, all devices.
  private func allDevices() throws -> [OpenCLDevice] {
    let devices = try OpenCLPlatforms.devices()
    let gpus = devices.filter { $0.kind == .gpu }
    return gpus.isEmpty ? devices : gpus
  }

  /// Engines that share out the processor's threads.
  private func processorPlans(_ count: Int) throws -> [LabelDevices.Plan] {
    let all = threads ?? ProcessInfo.processInfo.activeProcessorCount
    guard all >= count else {
      throw RetortError(
        .invalidArgument, "\(all) threads for \(count) engines", field: "threads",
        remedy: "Give at least a thread for each number after --device.")
    }
    return (0..<count).map { index in
      let share = all / count + (index < all % count ? 1 : 0)
      return LabelDevices.Plan(name: "cpu \(index) (\(share) of \(all) threads)") {
        profiled(try CPUBackend(threads: share))
      }
    }
  }
}
