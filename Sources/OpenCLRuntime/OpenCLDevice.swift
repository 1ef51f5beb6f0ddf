import Basics
import COpenCL

/// A device of one of the installed OpenCL platforms, with the limits that matter.
public struct OpenCLDevice: @unchecked Sendable {
  public enum Kind: String, Sendable, Codable { case cpu, gpu, accelerator }

  /// Position in ``OpenCLPlatforms/devices()``: what `--device` takes.
  public let index: Int
  public let platformName: String
  public let platformVersion: String
  public let name: String
  public let vendor: String
  public let driverVersion: String
  public let version: String
  public let openCLCVersion: String
  public let kind: Kind
  /// Bytes of global memory. May be lowered to leave some to others.
  public var memoryBytes: Int
  /// Bytes of the largest single buffer. May be lowered where a driver states more than it gives.
  public var maxAllocationBytes: Int
  /// Bytes of local memory of a work-group.
  public let localMemoryBytes: Int
  public let computeUnits: Int
  /// Whether programs may ask for divisions and square roots to the nearest number; else they are off by some units.
  public let roundsDivision: Bool
  public let maxWorkGroupSize: Int
  public let extensions: [String]
  /// What the driver says that kernel variants may use. Warp instructions are never among it: only a kernel that
  /// ran proves them (``DeviceModel/features``).
  public let features: KernelFeatures

  // Root device ids live as long as their platform, so the handle needs no owner.
  let handle: cl_device_id
  let platform: cl_platform_id

  init(index: Int, platform: cl_platform_id, handle: cl_device_id) throws {
    self.index = index
    self.platform = platform
    self.handle = handle
    platformName = try Self.platformText(platform, cl_platform_info(CL_PLATFORM_NAME))
    platformVersion = try Self.platformText(platform, cl_platform_info(CL_PLATFORM_VERSION))
    name = try Self.text(handle, CL_DEVICE_NAME)
    vendor = try Self.text(handle, CL_DEVICE_VENDOR)
    driverVersion = try Self.text(handle, CL_DRIVER_VERSION)
    version = try Self.text(handle, CL_DEVICE_VERSION)
    openCLCVersion = try Self.text(handle, CL_DEVICE_OPENCL_C_VERSION)
    extensions = try Self.text(handle, CL_DEVICE_EXTENSIONS).split(separator: " ").map(String.init)
    let type = try Self.value(handle, CL_DEVICE_TYPE, cl_ulong(0))
    kind =
      type & cl_ulong(CL_DEVICE_TYPE_GPU) != 0
      ? .gpu : type & cl_ulong(CL_DEVICE_TYPE_CPU) != 0 ? .cpu : .accelerator
    memoryBytes = Int(clamping: try Self.value(handle, CL_DEVICE_GLOBAL_MEM_SIZE, cl_ulong(0)))
    maxAllocationBytes = Int(clamping: try Self.value(handle, CL_DEVICE_MAX_MEM_ALLOC_SIZE, cl_ulong(0)))
    localMemoryBytes = Int(clamping: try Self.value(handle, CL_DEVICE_LOCAL_MEM_SIZE, cl_ulong(0)))
    computeUnits = Int(try Self.value(handle, CL_DEVICE_MAX_COMPUTE_UNITS, cl_uint(0)))
    // Bit 7 of the floating-point capabilities: CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT.
    roundsDivision = try Self.value(handle, CL_DEVICE_SINGLE_FP_CONFIG, cl_ulong(0)) & (1 << 7) != 0
    maxWorkGroupSize = try Self.value(handle, CL_DEVICE_MAX_WORK_GROUP_SIZE, 0)
    features = KernelFeatures(
      subgroupSizes: extensions.contains("cl_intel_required_subgroup_size")
        ? try Self.subgroupSizes(handle) : [],
      halfArithmetic: extensions.contains("cl_khr_fp16"),
      registerFloats: Int(try Self.value(handle, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, cl_uint(0))),
      integerDotProduct: extensions.contains("cl_khr_integer_dot_product"))
  }

  /// Whether the driver keeps what it compiled on disk itself, kernel by kernel. PoCL does; asked for a program's
  /// binary it first compiles every kernel once more, for groups of any size, which takes longer than the build.
  public var keepsCompiledKernels: Bool { platformName == "Portable Computing Language" }

  /// The most groups that a launch may have in its second dimension, and in its third; nil where there is no limit.
  /// NVIDIA's GPUs take 2³¹ − 1 in the first and 65,535 in the others (CUDA's table of compute capabilities).
  var groupLimit: Int? { identity.vendor == .nvidia ? 65_535 : nil }

  public func has(_ name: String) -> Bool { extensions.contains(name) }

  /// A number that the driver may or may not tell; of four or eight bytes.
  ///
  /// - Parameter zero: whether 0 is an answer.
  /// - Throws: `deviceFailure` with the driver's status where it refuses.
  func number(_ key: cl_device_info, _ what: String, zero: Bool = true) throws -> Int {
    var raw: UInt64 = 0
    try OpenCLStatus.check(clGetDeviceInfo(handle, key, 8, &raw, nil), "asking for the \(what)", field: name)
    guard zero || raw > 0 else {
      throw RetortError(.unsupported, "the driver tells no \(what)", field: name, remedy: "Nothing to do.")
    }
    return Int(clamping: raw)
  }

  private static func value<T: BitwiseCopyable>(_ device: cl_device_id, _ key: Int32, _ initial: T) throws
    -> T
  {
    var value = initial
    try OpenCLStatus.check(
      clGetDeviceInfo(device, cl_device_info(key), MemoryLayout<T>.size, &value, nil), "clGetDeviceInfo")
    return value
  }

  /// Sizes that a kernel may demand (cl_intel_required_subgroup_size).
  private static func subgroupSizes(_ device: cl_device_id) throws -> [Int] {
    let key = cl_device_info(0x4108)  // CL_DEVICE_SUB_GROUP_SIZES_INTEL
    var bytes = 0
    guard clGetDeviceInfo(device, key, 0, nil, &bytes) == CL_SUCCESS else { return [] }
    var sizes = [Int](repeating: 0, count: bytes / MemoryLayout<Int>.size)
    guard clGetDeviceInfo(device, key, bytes, &sizes, nil) == CL_SUCCESS else { return [] }
    return sizes.sorted()
  }

  private static func text(_ device: cl_device_id, _ key: Int32) throws -> String {
    try readText { size, bytes, needed in clGetDeviceInfo(device, cl_device_info(key), size, bytes, needed) }
  }

  private static func platformText(_ platform: cl_platform_id, _ key: cl_platform_info) throws -> String {
    try readText { size, bytes, needed in clGetPlatformInfo(platform, key, size, bytes, needed) }
  }

  private static func readText(
    _ query: (Int, UnsafeMutableRawPointer?, UnsafeMutablePointer<Int>?) -> cl_int
  ) throws -> String {
    var size = 0
    try OpenCLStatus.check(query(0, nil, &size), "reading device information")
    var bytes = [UInt8](repeating: 0, count: size)
    let status = bytes.withUnsafeMutableBytes { query(size, $0.baseAddress, nil) }
    try OpenCLStatus.check(status, "reading device information")
    return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }
}

/// The OpenCL platforms that the system's loader knows.
public enum OpenCLPlatforms {
  /// All devices of all platforms, in the loader's order.
  ///
  /// - Throws: `noDevice` where there is no platform or none has a device.
  public static func devices() throws -> [OpenCLDevice] { try known.get() }

  /// Listed once: some drivers (PoCL 3.1) crash where two threads ask for the first time.
  private static let known = Result { try list() }

  private static func list() throws -> [OpenCLDevice] {
    var count: cl_uint = 0
    let status = clGetPlatformIDs(0, nil, &count)
    guard status == CL_SUCCESS, count > 0 else { throw noPlatform("no OpenCL platform is installed") }
    var platforms = [cl_platform_id?](repeating: nil, count: Int(count))
    try OpenCLStatus.check(clGetPlatformIDs(count, &platforms, nil), "clGetPlatformIDs")
    var devices: [OpenCLDevice] = []
    for platform in platforms.compactMap({ $0 }) {
      var deviceCount: cl_uint = 0
      let all = cl_device_type(CL_DEVICE_TYPE_ALL)
      // A platform without devices reports an error; the others still count.
      guard clGetDeviceIDs(platform, all, 0, nil, &deviceCount) == CL_SUCCESS, deviceCount > 0 else {
        continue
      }
      var handles = [cl_device_id?](repeating: nil, count: Int(deviceCount))
      try OpenCLStatus.check(clGetDeviceIDs(platform, all, deviceCount, &handles, nil), "clGetDeviceIDs")
      for handle in handles.compactMap({ $0 }) {
        devices.append(try OpenCLDevice(index: devices.count, platform: platform, handle: handle))
      }
    }
    if devices.isEmpty { throw noPlatform("the installed OpenCL platforms have no device") }
    return devices
  }

  private static func noPlatform(_ message: String) -> RetortError {
    RetortError(
      .noDevice, message,
      remedy: "Install a driver (`apt-get install pocl-opencl-icd` runs on any CPU) or use `--backend cpu`.")
  }
}
