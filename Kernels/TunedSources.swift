/// A table of launch parameters that is embedded in the binary; `Kernels/tuned` holds the files.
public struct TunedSource: Sendable {
  /// The file's name, for errors.
  public let name: String
  /// The file's JSON.
  public let bytes: [UInt8]

  /// All of them, in no order that matters: a table says what it applies to.
  public static let all = [
    TunedSource(name: "Kernels/tuned/default.json", bytes: PackageResources.default_json),
    TunedSource(name: "Kernels/tuned/intel_cpu.json", bytes: PackageResources.intel_cpu_json),
    TunedSource(name: "Kernels/tuned/pocl.json", bytes: PackageResources.pocl_json),
  ]
}
