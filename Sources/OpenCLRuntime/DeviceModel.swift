import Basics

/// Something asked of a driver: what it told, or why there is no answer.
public enum Probed<Value: Sendable & Codable & Equatable>: Sendable, Equatable {
  case known(Value)
  case absent(reason: String)

  public var value: Value? {
    if case .known(let value) = self { return value }
    return nil
  }

  public var reason: String? {
    if case .absent(let reason) = self { return reason }
    return nil
  }

  /// What `body` returns; where it throws, the driver's words, on one line.
  public init(_ body: () throws -> Value) {
    do {
      self = .known(try body())
    } catch {
      let text = (error as? RetortError)?.message ?? "\(error)"
      let line = text.split(whereSeparator: \.isNewline).map { $0.trimmingPrefix { $0 == " " } }
        .joined(separator: "; ")
      self = .absent(reason: line.count > 300 ? line.prefix(300) + "…" : line)
    }
  }
}

/// As `{"value": …}` or `{"absent": "reason"}`.
extension Probed: Codable {
  private enum Key: String, CodingKey { case value, absent }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Key.self)
    if let reason = try container.decodeIfPresent(String.self, forKey: .absent) {
      self = .absent(reason: reason)
    } else {
      self = .known(try container.decode(Value.self, forKey: .value))
    }
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Key.self)
    switch self {
    case .known(let value): try container.encode(value, forKey: .value)
    case .absent(let reason): try container.encode(reason, forKey: .absent)
    }
  }
}

/// What a device is, what its driver takes, and what was measured on it.
///
/// Nothing is concluded from a product's name: an instruction counts as there once a kernel with it has run and
/// computed what it should. Made by ``DeviceProbe``, kept by ``DeviceModelStore``.
public struct DeviceModel: Sendable, Codable, Equatable {
  public enum Vendor: String, Sendable, Codable, CaseIterable {
    case nvidia, amd, intel, pocl, apple, other
  }

  /// What the device allows.
  public struct Limits: Sendable, Codable, Equatable {
    public var memoryBytes: Int
    /// Bytes of the largest single buffer.
    public var maxAllocationBytes: Int
    /// Bytes of local memory of a work-group, as the driver states it.
    public var localMemoryBytes: Int
    public var maxWorkGroupSize: Int
    public var computeUnits: Int
    public var clockMegahertz: Probed<Int>
    public var cacheBytes: Probed<Int>
  }

  /// An instruction that was built alone and run.
  public struct Instruction: Sendable, Codable, Equatable {
    /// The instruction's name in PTX; for `wgmma` also how many warpgroups multiplied and the way past the compiler.
    public var name: String
    /// Whether it computed what it should; absent with the driver's reason where it was refused.
    public var works: Probed<Bool>
  }

  /// What the driver gives and takes as a program's binary.
  public struct ProgramBinary: Sendable, Codable, Equatable {
    /// The target that the binary names where it is PTX text, such as `sm_90`.
    public var ptxTarget: Probed<String>
    /// Whether that text is taken back, built and run; the same with its target made `sm_90a`; the same with an
    /// instruction that only `sm_90a` has (`wgmma.fence`).
    public var takesOwnPTX: Probed<Bool>
    public var takesRetargetedPTX: Probed<Bool>
    public var takesWGMMA: Probed<Bool>
  }

  /// Rates and costs as measured; one of a device that was busy is too low.
  public struct Rates: Sendable, Codable, Equatable {
    /// Bytes read and written by a kernel that copies, in GB/s.
    public var copyGigabytesPerSecond: Probed<Double>
    /// Bytes read by a kernel that sums, in GB/s.
    public var readGigabytesPerSecond: Probed<Double>
    /// Independent chains of multiply-adds, in GFLOP/s.
    public var f32Gigaflops: Probed<Double>
    public var f16Gigaflops: Probed<Double>
    /// `mma.sync` on bfloat16 from registers, in GFLOP/s.
    public var bf16MatrixGigaflops: Probed<Double>
    /// A kernel that does nothing, many in a row.
    public var launchMicroseconds: Probed<Double>
    /// The same with a wait after each.
    public var launchAndFinishMicroseconds: Probed<Double>
    /// When this was measured (ISO 8601).
    public var measuredAt: String
  }

  public var name: String
  public var vendorName: String
  public var platform: String
  public var driver: String
  public var version: String
  public var vendor: Vendor
  public var kind: OpenCLDevice.Kind
  /// NVIDIA's compute capability (`sm_90`), otherwise the device's name without the runtime's prefix.
  public var architecture: String
  public var limits: Limits
  /// Work-items that run in step: the warp, or the group multiple that the driver prefers for a trivial kernel.
  public var waveWidth: Probed<Int>
  public var registersPerBlock: Probed<Int>
  /// The most local memory that a kernel was seen to run with, where that was tried.
  public var largestLocalBytes: Probed<Int>
  /// What kernel variants may use; `warpInstructions` and `warpgroupInstructions` are what ``instructions`` proved.
  public var features: KernelFeatures
  /// Whether recorded command buffers exist (cl_khr_command_buffer).
  public var commandBuffers: Bool
  /// Whether subgroups multiply matrices (cl_intel_subgroup_matrix_multiply_accumulate).
  public var subgroupMatrix: Bool
  /// NVIDIA's matrix instructions; empty on devices that were not asked since they take no PTX.
  public var instructions: [Instruction]
  /// Absent where only the cheap part has been probed.
  public var binary: ProgramBinary?
  public var rates: Rates?

  public func works(_ instruction: String) -> Bool {
    instructions.contains { $0.name == instruction && $0.works.value == true }
  }
}

extension DeviceModel {
  /// What a kernel can reach at best, as measured; nil what was not measured or is not there.
  public struct Ceilings: Sendable, Equatable {
    /// Bytes read and written by a copy, in GB/s.
    public var copyGigabytesPerSecond: Double?
    /// Bytes read by a kernel that only reads, in GB/s.
    public var readGigabytesPerSecond: Double?
    public var f32Gigaflops: Double?
    public var f16Gigaflops: Double?
    public var bf16Gigaflops: Double?
    /// A launch in a row of many, and one with a wait, in microseconds.
    public var launchMicroseconds: Double?
    public var launchAndFinishMicroseconds: Double?

    /// The higher of both memory rates: no kernel moves its bytes faster.
    public var memoryGigabytesPerSecond: Double? {
      [copyGigabytesPerSecond, readGigabytesPerSecond].compactMap { $0 }.max()
    }
  }

  public var ceilings: Ceilings {
    Ceilings(
      copyGigabytesPerSecond: rates?.copyGigabytesPerSecond.value,
      readGigabytesPerSecond: rates?.readGigabytesPerSecond.value, f32Gigaflops: rates?.f32Gigaflops.value,
      f16Gigaflops: rates?.f16Gigaflops.value, bf16Gigaflops: rates?.bf16MatrixGigaflops.value,
      launchMicroseconds: rates?.launchMicroseconds.value,
      launchAndFinishMicroseconds: rates?.launchAndFinishMicroseconds.value)
  }
}
