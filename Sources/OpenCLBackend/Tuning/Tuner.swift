import Basics
import Dispatch
import Foundation
import OpenCLRuntime
import Tensors

/// Searches the declared ranges of kernels on one device: every choice is validated before it is timed.
///
/// A choice that leaves the order of sums alone must give the bits of the shipped parameters, and those the numbers
/// of the portable kernels within a trial's tolerance; one that changes the order is held to the portable kernels
/// itself. What the driver refuses or what computes something else is left out and counted.
public final class Tuner {
  public struct Settings: Sendable {
    public var budgetSeconds: Double
    public var seed: UInt64
    /// A choice must be faster than the shipped one by this share to take its place.
    public var leastGain = 0.03

    public init(budgetSeconds: Double, seed: UInt64 = 1) {
      self.budgetSeconds = budgetSeconds
      self.seed = seed
    }
  }

  /// What was found for a kernel and a class of shapes.
  public struct Finding: Sendable {
    public let kernel: String
    public let shapeClass: String
    public let defaults: KernelParameters
    public internal(set) var best: KernelParameters
    /// Seconds of a run, the fastest of several.
    public internal(set) var defaultSeconds: Double
    public internal(set) var bestSeconds: Double
    public let flops: Int
    public let bytes: Int
    /// Choices timed, of how many there are.
    public internal(set) var timed: Int
    public let choices: Int
    /// Choices that the driver refused and choices with wrong results, with the reasons.
    public internal(set) var refused: [String]
    public internal(set) var rejected: [String]
    /// Why nothing was searched: the shipped parameters themselves failed.
    public internal(set) var failure: String?

    public var gain: Double { bestSeconds > 0 ? defaultSeconds / bestSeconds - 1 : 0 }
  }

  public let device: OpenCLDevice
  let settings: Settings
  let kernels: [TunableKernel]
  let backend: OpenCLBackend
  let reference: OpenCLBackend
  let shipped: Tuning
  let earlier: Tuning
  var random: TunerRandom

  /// - Parameters:
  ///   - kernels: what is searched: those that the device runs among them.
  ///   - shipped: what choices are compared with; by default the shipped tables' parameters.
  ///   - earlier: what is tried first; by default nothing else than the shipped parameters.
  ///   - family: whose kernels, by default those of the device's class.
  ///   - features: what kernels may use, by default what the device has.
  /// - Throws: what the driver says where it gives no context.
  public init(
    device: OpenCLDevice, settings: Settings, kernels: [TunableKernel] = TunableKernel.all,
    shipped: Tuning? = nil, earlier: Tuning? = nil, family: KernelFamily? = nil,
    features: KernelFeatures? = nil, cache: BinaryCache = .standard
  ) throws {
    self.device = device
    self.settings = settings
    let tuning = try shipped ?? Tuning.of(device, userFolder: nil)
    let backend = try OpenCLBackend(
      device: device, family: family, features: features, tuning: tuning, cache: cache)
    self.backend = backend
    // The portable kernels with what every device starts with.
    reference = try OpenCLBackend(
      device: device, family: .gpu, features: .portable, tuning: tuning, cache: cache)
    self.shipped = tuning
    self.earlier = earlier ?? tuning
    self.kernels = kernels.filter { $0.runs(backend.family, backend.features) }
    random = TunerRandom(seed: settings.seed)
  }

  /// Kernels and classes that ``run(_:)`` goes through.
  public var pairs: [(kernel: String, shapeClass: String)] {
    kernels.flatMap { kernel in kernel.classes.map { (kernel.name, $0) } }
  }

  /// What a user should know of the tables that were there before (``Tuning/caution(_:_:)``): what is not searched
  /// stays in them.
  public func caution() throws -> String? { try earlier.caution(backend.family, backend.features) }

  /// Searches everything within the budget; `progress` hears of pairs done and of the one that begins.
  ///
  /// - Throws: what the device reports where it can go on no longer.
  public func run(_ progress: (_ done: Int, _ note: String) -> Void = { _, _ in }) throws -> [Finding] {
    let start = Self.now
    let work = kernels.flatMap { kernel in kernel.classes.map { (kernel, $0) } }
    var findings: [Finding] = []
    for (index, (kernel, shapeClass)) in work.enumerated() {
      progress(index, "\(kernel.name) \(shapeClass)")
      // Time that one leaves over goes to those that follow.
      let left = max(0, settings.budgetSeconds - (Self.now - start))
      let deadline = Self.now + left / Double(work.count - index)
      findings.append(try search(kernel, shapeClass, until: deadline))
    }
    progress(work.count, "")
    return findings
  }

  /// The findings as a table for this very device, over what `older` held for kernels that were not searched now.
  public func table(_ findings: [Finding], over older: TuningTable? = nil) -> TuningTable {
    let identity = device.identity
    let searched = Set(findings.filter { $0.failure == nil }.map { "\($0.kernel) \($0.shapeClass)" })
    let kept = (older?.entries ?? []).filter { !searched.contains("\($0.kernel) \($0.shapeClass)") }
    let found = findings.filter { $0.failure == nil }.map {
      TuningTable.Entry(
        kernel: $0.kernel, shapeClass: $0.shapeClass, parameters: $0.best.values,
        defaultMicroseconds: ($0.defaultSeconds * 1e7).rounded() / 10,
        microseconds: ($0.bestSeconds * 1e7).rounded() / 10)
    }
    return TuningTable(
      appliesTo: TuningTable.Scope(
        vendor: identity.vendor.rawValue, architecture: identity.architecture, device: identity.device),
      driver: device.driverVersion, measuredAt: ISO8601DateFormatter().string(from: Date()),
      entries: (kept + found).sorted { ($0.kernel, $0.shapeClass) < ($1.kernel, $1.shapeClass) })
  }

  /// The file of this device's table in the user's cache; nil where there is no cache.
  public static func path(_ device: OpenCLDevice, folder: String? = Tuning.userFolder) -> String? {
    let identity = device.identity
    let words = "\(identity.vendor.rawValue)-\(identity.architecture)-\(identity.device)"
    let plain = String(words.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") ? $0 : "-" })
    return folder.map { "\($0)/\(plain.prefix(120)).json" }
  }

  static var now: Double { Double(DispatchTime.now().uptimeNanoseconds) / 1e9 }
}

/// SplitMix64: the order in which choices are tried.
struct TunerRandom: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
