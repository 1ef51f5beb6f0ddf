import Basics
import Foundation
import Kernels
import OpenCLRuntime
import Tensors

/// The launch parameters in effect on a device: for each kernel and class of shapes a value for every parameter.
///
/// Tables are looked up by vendor, architecture and device, the most specific wins; a table of the user's cache
/// wins over a shipped one. A kernel's results may depend on them as they depend on the device, never on the batch.
public struct Tuning: Sendable {
  private var values: [String: [String: KernelParameters]] = [:]
  /// The tables that had a say, weakest first.
  public private(set) var files: [String] = []

  /// `${XDG_CACHE_HOME:-~/.cache}/retort/tuned`: every `.json` file in it is read.
  public static var userFolder: String? { BinaryCache.standardFolder("tuned") }

  /// A table and where it came from.
  struct Source {
    let file: String
    let table: TuningTable
    let isUsers: Bool
  }

  public subscript(_ kernel: TunableKernel, _ shapeClass: String = "any") -> KernelParameters {
    get {
      guard let parameters = values[kernel.name]?[shapeClass] else {
        preconditionFailure("\(kernel.name) has no class \(shapeClass)")
      }
      return parameters
    }
    set { values[kernel.name, default: [:]][shapeClass] = newValue }
  }

  /// The parameters for `device` from the shipped tables and those in `userFolder`; nil reads no user's tables.
  ///
  /// - Throws: `malformedFile` for a table that breaks the format, has a value out of its range, or, where it is the
  ///   user's, asks for what the device cannot run.
  public static func of(
    _ device: OpenCLDevice, userFolder: String? = userFolder, kernels: [TunableKernel] = TunableKernel.all
  ) throws -> Tuning {
    let tables =
      try shippedTables(kernels) + (userFolder.map { try userTables($0, kernels, device.identity) } ?? [])
    return try Tuning(tables, identity: device.identity, device: device, kernels: kernels)
  }

  /// - Parameter device: what objections are asked for; nil asks for none.
  init(
    _ tables: [Source], identity: DeviceIdentity, device: OpenCLDevice?,
    kernels: [TunableKernel] = TunableKernel.all
  ) throws {
    let known = Dictionary(kernels.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    let inEffect = tables.filter { $0.table.appliesTo.holds(identity) }
      .sorted {
        ($0.isUsers ? 1 : 0, $0.table.appliesTo.rank) < ($1.isUsers ? 1 : 0, $1.table.appliesTo.rank)
      }
    for source in inEffect {
      files.append(source.file)
      // An entry for all classes is weaker than one that names its class.
      let order = source.table.entries.enumerated().sorted {
        ($0.element.shapeClass == "*" ? 0 : 1, $0.offset) < ($1.element.shapeClass == "*" ? 0 : 1, $1.offset)
      }
      for (index, entry) in order {
        guard let kernel = known[entry.kernel] else { continue }
        let classes = entry.shapeClass == "*" ? kernel.classes : [entry.shapeClass]
        for shapeClass in classes {
          var parameters = values[kernel.name]?[shapeClass] ?? KernelParameters([:])
          parameters.values.merge(entry.parameters) { $1 }
          if let device, parameters.values.count == kernel.parameters.count,
            let objection = kernel.objection(parameters, device)
          {
            guard source.isUsers else { continue }
            throw TuningTable.failure(objection, source.file, "entries[\(index)].parameters")
          }
          values[kernel.name, default: [:]][shapeClass] = parameters
        }
      }
    }
    for kernel in kernels {
      for shapeClass in kernel.classes {
        for parameter in kernel.parameters
        where values[kernel.name]?[shapeClass]?.values[parameter.name] == nil {
          throw TuningTable.failure(
            "no table has \(parameter.name) of \(kernel.name) for class \(shapeClass)",
            tables.first?.file ?? "Kernels/tuned", "entries")
        }
      }
    }
  }

  /// What this build ships.
  static func shippedTables(_ kernels: [TunableKernel] = TunableKernel.all) throws -> [Source] {
    try TunedSource.all.map {
      Source(
        file: $0.name, table: try TuningTable(json: Data($0.bytes), file: $0.name, kernels: kernels),
        isUsers: false)
    }
  }

  /// The tables of a folder that apply to a device, in the order of names; none where there is no folder. Another
  /// device's are not judged: what is wrong with them is for work on that device to say.
  static func userTables(
    _ folder: String, _ kernels: [TunableKernel] = TunableKernel.all, _ identity: DeviceIdentity
  ) throws -> [Source] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return try names.filter { $0.hasSuffix(".json") }.sorted().compactMap { name in
      let path = "\(folder)/\(name)"
      guard let data = FileManager.default.contents(atPath: path) else {
        throw RetortError(
          .fileUnavailable, "cannot read the table", file: path,
          remedy: "Make the file readable, or delete it.")
      }
      let table = try TuningTable(json: data, file: path, kernels: [])
      guard table.appliesTo.holds(identity) else { return nil }
      try table.check(kernels, file: path)
      return Source(file: path, table: table, isUsers: true)
    }
  }

  /// Parameters that change results' bits and differ from those that every device starts with, in words. Of kernels
  /// that a device of this family and with these features runs for this work; what depends on bits may record it.
  public func changedBits(of work: Workload, _ family: KernelFamily, _ features: KernelFeatures) throws
    -> [String]
  {
    try changedBits { $0.runs(family, features) && $0.changesBits(of: work) }
  }

  /// Which of these parameters have no effect on a device of this family, since their kernels need instructions that
  /// no probe has seen it run, and what to do; nil where there are none.
  public func caution(_ family: KernelFamily, _ features: KernelFeatures) throws -> String? {
    let idle = try changedBits { $0.family == family && !$0.runs(family, features) }
    guard !idle.isEmpty else { return nil }
    return
      "a table of launch parameters asks for what this device has not been seen to run, and it stays off: "
      + idle.joined(separator: ", ") + ". 'retort devices --probe' tries it and prints the driver's answer; "
      + "where that is no, delete the entry."
  }

  private func changedBits(where isMeant: (TunableKernel) -> Bool) throws -> [String] {
    let plain = try Tuning(
      Self.shippedTables().filter { $0.table.appliesTo.rank == 0 },
      identity: DeviceIdentity(vendor: .other, architecture: "", device: ""), device: nil)
    var words: [String] = []
    for kernel in TunableKernel.all where isMeant(kernel) {
      for shapeClass in kernel.classes {
        let (now, then) = (self[kernel, shapeClass], plain[kernel, shapeClass])
        let changed = kernel.parameters.filter { $0.changesBits && now[$0.name] != then[$0.name] }
        words += changed.map { "\(kernel.name) \(shapeClass) \($0.name)=\(now[$0.name])" }
      }
    }
    return words
  }
}
