import Basics
import COpenCL
import Kernels

/// Asks a device what it is and measures what it does.
///
/// ``describe()`` takes a fraction of a second: limits, and on NVIDIA one tiny kernel for each instruction.
/// ``measure()`` takes a second or two more. What a driver refuses is recorded with its reason and ends nothing.
public struct DeviceProbe {
  public let device: OpenCLDevice
  let context: OpenCLContext

  /// - Throws: what the driver says where it gives no context.
  public init(_ device: OpenCLDevice, cache: BinaryCache = .standard) throws {
    self.device = device
    context = try OpenCLContext(device: device, cache: cache)
  }

  /// Whether PTX may be tried at all: other compilers end the process on assembly that they do not know.
  public static func takesPTX(_ device: OpenCLDevice) -> Bool {
    device.kind == .gpu && vendor(device) == .nvidia
  }

  /// Limits and features, and on NVIDIA which instructions work.
  public func describe() -> DeviceModel {
    let instructions = Self.takesPTX(device) ? probeInstructions() : []
    func works(_ name: String) -> Bool {
      instructions.contains { $0.name == name && $0.works.value == true }
    }
    var features = device.features
    features.warpInstructions =
      ["mma.sync bf16", "ldmatrix", "cp.async"].allSatisfy(works) ? .ptx : .none
    features.dp4a = works("dp4a")
    return DeviceModel(
      name: device.name, vendorName: device.vendor, platform: device.platformName,
      driver: device.driverVersion, version: device.version, vendor: Self.vendor(device), kind: device.kind,
      architecture: Self.architecture(device), limits: Self.limits(device), waveWidth: waveWidth(),
      registersPerBlock: Probed { try device.number(Self.registersPerBlockKey, "registers per block") },
      largestLocalBytes: largestLocal(), features: features,
      commandBuffers: device.has("cl_khr_command_buffer"),
      subgroupMatrix: device.has("cl_intel_subgroup_matrix_multiply_accumulate"),
      instructions: instructions)
  }

  /// ``describe()`` and all rates.
  public func measure() -> DeviceModel {
    var model = describe()
    model.binary = probeBinary()
    // First: a fault in what is tried below may spoil more than its context.
    model.rates = measureRates(model)
    let ways = Self.takesPTX(device) && model.architecture == "sm_90" ? probeWarpgroups() : []
    model.instructions += ways.flatMap(\.instructions)
    model.features.warpgroupInstructions =
      ways.first { $0.instructions.allSatisfy { $0.works.value == true } }?.way ?? .none
    return model
  }

  // MARK: What the driver tells

  // Keys of cl_nv_device_attribute_query, which the headers may lack.
  static let computeMajorKey: cl_device_info = 0x4000
  static let computeMinorKey: cl_device_info = 0x4001
  static let registersPerBlockKey: cl_device_info = 0x4002
  static let warpKey: cl_device_info = 0x4003

  static func vendor(_ device: OpenCLDevice) -> DeviceModel.Vendor {
    if device.platformName.contains("Portable Computing Language") { return .pocl }
    let text = device.vendor.lowercased()
    let known: [(String, DeviceModel.Vendor)] = [
      ("nvidia", .nvidia), ("intel", .intel), ("advanced micro", .amd), ("amd", .amd), ("apple", .apple),
    ]
    return known.first { text.contains($0.0) }?.1 ?? .other
  }

  static func architecture(_ device: OpenCLDevice) -> String {
    if let major = try? device.number(computeMajorKey, "compute capability"),
      let minor = try? device.number(computeMinorKey, "compute capability")
    {
      return "sm_\(major)\(minor)"
    }
    // PoCL calls its CPU devices after its driver, the compiler's target and the processor.
    let parts = device.name.split(separator: "-")
    if vendor(device) == .pocl, device.kind == .cpu, parts.count > 1 { return String(parts[1]) }
    return device.name
  }

  static func limits(_ device: OpenCLDevice) -> DeviceModel.Limits {
    DeviceModel.Limits(
      memoryBytes: device.memoryBytes, maxAllocationBytes: device.maxAllocationBytes,
      localMemoryBytes: device.localMemoryBytes, maxWorkGroupSize: device.maxWorkGroupSize,
      computeUnits: device.computeUnits,
      clockMegahertz: Probed {
        try device.number(cl_device_info(CL_DEVICE_MAX_CLOCK_FREQUENCY), "clock", zero: false)
      },
      cacheBytes: Probed {
        try device.number(cl_device_info(CL_DEVICE_GLOBAL_MEM_CACHE_SIZE), "cache size", zero: false)
      })
  }

  private func waveWidth() -> Probed<Int> {
    if let warp = try? device.number(Self.warpKey, "warp width", zero: false) { return .known(warp) }
    return Probed { try ratesProgram(vector: 4).kernel("probe_none").preferredGroupMultiple(device) }
  }

  /// More local memory than the driver states is tried on NVIDIA alone, where it is known to be refused cleanly.
  private func largestLocal() -> Probed<Int> {
    guard Self.takesPTX(device) else { return .absent(reason: "tried on NVIDIA only") }
    return Probed {
      let source = """
        kernel void probe_local(local float *t, global float *y) {
          t[get_local_id(0)] = 1.0f;
          barrier(CLK_LOCAL_MEM_FENCE);
          y[get_local_id(0)] = t[get_local_id(0)];
        }
        """
      let kernel = try context.makeProgram(name: "probe_local", source: source).kernel("probe_local")
      let y = try context.makeBuffer(byteCount: 256)
      var largest = 0
      for kibibytes in [16, 32, 48, 64, 96, 128, 160, 200, 227] {
        do {
          try context.launch(
            kernel, [.local("t", kibibytes << 10), .buffer("y", y)], global: (64, 1, 1), local: (64, 1, 1))
          try context.finish()
        } catch { break }
        largest = kibibytes << 10
      }
      guard largest > 0 else {
        throw RetortError(.deviceFailure, "no local memory argument runs", remedy: "Check the driver.")
      }
      return largest
    }
  }

  /// The kernels of the rates, in the shape of the device's class.
  ///
  /// - Parameter vector: elements of a vector.
  func ratesProgram(vector: Int, half: Bool = false) throws -> OpenCLProgram {
    let shape = device.kind == .cpu ? "-DSEGMENT=4096 -DSTEP=1 " : "-DSEGMENT=16 -DSTEP=256 "
    let element = half ? "-DELEMENT=half -DHALF " : "-DELEMENT=float "
    return try context.makeProgram(
      name: KernelSource.probeRates.name, source: KernelSource.probeRates.text,
      options: "-cl-std=CL1.2 -DVEC=\(vector) " + shape + element)
  }
}
