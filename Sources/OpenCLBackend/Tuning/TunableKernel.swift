import Basics
import OpenCLRuntime
import Tensors

/// A launch parameter and the values that it may have.
public struct TunableParameter: Sendable, Equatable {
  /// As in the kernel's source where it is a macro.
  public let name: String
  public let values: [Int]
  /// Whether it changes the order in which numbers are added, and with it a result's bits.
  public let changesBits: Bool

  public init(_ name: String, _ values: [Int], changesBits: Bool = false) {
    self.name = name
    self.values = values
    self.changesBits = changesBits
  }
}

/// A value for each of a kernel's parameters.
public struct KernelParameters: Sendable, Hashable, CustomStringConvertible {
  public var values: [String: Int] {
    didSet { options = Self.options(values) }
  }
  /// All as macros for the compiler: `-DROWS=6 `.
  private(set) var options: KernelOptions

  public init(_ values: [String: Int]) {
    self.values = values
    options = Self.options(values)
  }

  private static func options(_ values: [String: Int]) -> KernelOptions {
    values.sorted { $0.key < $1.key }.reduce(into: "") { $0 += "-D\(name: $1.key)=\($1.value) " }
  }

  public static func == (a: KernelParameters, b: KernelParameters) -> Bool { a.values == b.values }

  public func hash(into hasher: inout Hasher) { hasher.combine(values) }

  /// A declared parameter's value; ``Tuning`` holds one for each.
  public subscript(_ name: String) -> Int {
    guard let value = values[name] else { preconditionFailure("no parameter \(name) is declared") }
    return value
  }

  /// `ROWS=6 TERMS=64`, in the order of names.
  public var description: String {
    values.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
  }
}

/// A piece of work that a kernel does, on inputs that one backend holds.
public struct TuningTrial {
  /// What the work states of itself, for rates.
  public let flops: Int
  public let bytes: Int
  /// How far a result may be from the reference, as a share of the reference's root mean square.
  public let tolerance: Float
  /// Queues the work with the backend's parameters of the moment.
  public let run: () throws -> Tensor

  public init(flops: Int, bytes: Int, tolerance: Float = 1e-4, run: @escaping () throws -> Tensor) {
    self.flops = flops
    self.bytes = bytes
    self.tolerance = tolerance
    self.run = run
  }

  init(_ operation: any Tensors.Operation, tolerance: Float = 1e-4, run: @escaping () throws -> Tensor) {
    self.init(flops: operation.flops, bytes: operation.bytes, tolerance: tolerance, run: run)
  }
}

/// A kernel's launch parameters: names, ranges, the shapes that may differ in them, and how to try a choice.
///
/// Declared beside the host code that launches the kernel, in `<Operation>+Tuning.swift`, and named in ``all``.
public struct TunableKernel: Sendable {
  /// What tables and `--family` call it: the kernel's name, a dot, and the class of devices.
  public let name: String
  public let family: KernelFamily
  /// Whether only devices with a warp's instructions run it.
  public let needsWarps: Bool
  /// Whether only devices with a warpgroup's instructions run it.
  public let needsWarpgroups: Bool
  /// The work whose bits its parameters change.
  let bitsOf: Affected
  public let parameters: [TunableParameter]
  /// Shapes with parameters of their own. Where a parameter changes bits, no class may tell row counts apart.
  public let classes: [String]
  /// Why this device cannot run these values, or nil.
  public let objection: @Sendable (KernelParameters, OpenCLDevice) -> String?
  /// Makes the inputs of a class on a backend. The same class gives the same inputs on every backend.
  public let trial: @Sendable (OpenCLBackend, _ shapeClass: String) throws -> TuningTrial

  public init(
    _ name: String, family: KernelFamily, needsWarps: Bool = false, needsWarpgroups: Bool = false,
    bitsOf: Affected = .all,
    parameters: [TunableParameter], classes: [String] = ["any"],
    objection: @escaping @Sendable (KernelParameters, OpenCLDevice) -> String? = { _, _ in nil },
    trial: @escaping @Sendable (OpenCLBackend, String) throws -> TuningTrial
  ) {
    self.name = name
    self.family = family
    self.needsWarps = needsWarps
    self.needsWarpgroups = needsWarpgroups
    self.bitsOf = bitsOf
    self.parameters = parameters
    self.classes = classes
    self.objection = objection
    self.trial = trial
  }

  /// All that the backend launches with parameters from tables.
  public static let all: [TunableKernel] = [
    .attentionCPU, .attentionGPU, .elementwiseCPU, .elementwiseGPU, .encoderAttentionGPU, .matmulColumns,
    .matmulTile, .normsGPU, .productCPU,
    // Which tiles a result gets is tried with those that were found before.
    .matmulWarp, .matmulWarpRows, .matmulWarpChoice, .int8Warp, .int8WarpRows, .productWarp,
    .productWarpChoice,
    .productWarpgroup, .productWarpgroupChoice, .attentionWarp, .attentionWarpGroups, .encoderAttentionWarp,
    .encoderAttentionGradientWarp,
  ]

  /// Whether a device of this class and with these features runs it.
  func runs(_ family: KernelFamily, _ features: KernelFeatures) -> Bool {
    self.family == family && (!needsWarps || features.warpInstructions != .none)
      && (!needsWarpgroups || features.warpgroupInstructions != .none)
  }

  /// A decoder's steps, a student's, or both.
  public enum Affected: Sendable {
    case generation, training, all
  }

  var changesBits: Bool { parameters.contains { $0.changesBits } }

  /// Whether values of its parameters change the bits of such work.
  func changesBits(of work: Workload) -> Bool {
    guard changesBits else { return false }
    return switch work {
    case .generation: bitsOf != .training
    // Tensor cores take a student's products in bfloat16 alone.
    case .training(let precision):
      bitsOf != .generation && (precision == .bf16 || !(needsWarps || needsWarpgroups))
    }
  }

  /// Every choice of values, in the order of the ranges.
  var choices: [KernelParameters] {
    var choices = [KernelParameters([:])]
    for parameter in parameters {
      choices = choices.flatMap { choice in
        parameter.values.map { value in
          var next = choice
          next.values[parameter.name] = value
          return next
        }
      }
    }
    return choices
  }
}
