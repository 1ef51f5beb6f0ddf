import Kernels

/// What kernel variants may use beyond core OpenCL C 1.2; each variant has a portable twin that needs none of it.
public struct KernelFeatures: Sendable, Hashable, Codable {
  /// NVIDIA's instructions of a whole warp (`mma.sync`, `ldmatrix`, `cp.async`, shuffles).
  public enum WarpInstructions: String, Sendable, Codable, CaseIterable {
    case none
    /// As inline PTX.
    case ptx
    /// As plain OpenCL C through local memory: for tests on other devices, far too slow for work.
    case emulated
  }

  /// NVIDIA's instructions of a warpgroup (`wgmma`), which only `sm_90a` has.
  public enum WarpgroupInstructions: String, Sendable, Codable, CaseIterable {
    case none
    /// The compiler targets `sm_90a` where the undocumented option `-cl-nv-arch` says so.
    case option
    /// Written into the PTX that the compiler makes for `sm_90` (``PTXText``).
    case rewritten
    /// As plain OpenCL C, for tests.
    case emulated

    /// Warpgroups of a work-group that kernels may be built for; ``DeviceProbe/measure()`` tries them all.
    public static let groupSizes = [1, 2, 4]

    /// What a program that ends with `source` is built with where such instructions are in it.
    public func buildOptions(for source: KernelSource) -> String {
      switch self {
      case .none, .rewritten: ""
      case .option: source.needsSM90a ? "-cl-nv-arch sm_90a -DWARPGROUP_DIRECT=1 " : ""
      case .emulated: source.base.contains(.warpgroup) ? "-DWARP_EMULATED=1 " : ""
      }
    }
  }

  public var warpInstructions: WarpInstructions
  /// Proved by ``DeviceProbe/measure()``, not when a backend is opened: none where no one asked for that.
  public var warpgroupInstructions: WarpgroupInstructions
  /// Work-items of the subgroups that kernels may ask for; empty where there are none.
  public var subgroupSizes: [Int]
  /// Arithmetic on `half` (cl_khr_fp16).
  public var halfArithmetic: Bool
  /// Floats that a register of the widest kind holds (CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT); kernels for CPUs shape
  /// their tiles by it.
  public var registerFloats: Int
  /// `dot_acc_sat` and its kin on packed bytes (cl_khr_integer_dot_product).
  public var integerDotProduct: Bool
  /// NVIDIA's `dp4a` as inline PTX: four products of packed bytes and their sum.
  public var dp4a: Bool

  /// Core OpenCL C alone.
  public static let portable = KernelFeatures()

  public init(
    warpInstructions: WarpInstructions = .none, warpgroupInstructions: WarpgroupInstructions = .none,
    subgroupSizes: [Int] = [], halfArithmetic: Bool = false, registerFloats: Int = 16,
    integerDotProduct: Bool = false, dp4a: Bool = false
  ) {
    self.warpInstructions = warpInstructions
    self.warpgroupInstructions = warpgroupInstructions
    self.subgroupSizes = subgroupSizes
    self.halfArithmetic = halfArithmetic
    self.registerFloats = registerFloats
    self.integerDotProduct = integerDotProduct
    self.dp4a = dp4a
  }
}
