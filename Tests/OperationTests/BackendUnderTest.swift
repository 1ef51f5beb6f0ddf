import Basics
import CPUBackend
import OpenCLBackend
import OpenCLRuntime
import Tensors
import TestSupport
import Testing

/// All operation tests; one at a time, since the operations of a backend run in call order.
@Suite(.serialized) struct Operations {}

/// A backend that every operation test runs on; the one list of them.
struct BackendUnderTest: Sendable, CustomTestStringConvertible {
  let testDescription: String
  /// The types that its cache may have.
  let cacheTypes: [CacheType]
  private let made: Result<any Backend, any Error>

  init(_ name: String, codedCache: Bool, _ make: () throws -> any Backend) {
    testDescription = name
    cacheTypes = codedCache ? CacheType.allCases : [.f32, .f16]
    made = Result(catching: make)
  }

  /// The backend; throws, so that the test fails, where it could not be made.
  var backend: any Backend {
    get throws { try made.get() }
  }

  /// The Float64 reference itself, the CPU backend with one and two threads, every OpenCL device, the first of them
  /// with the kernels of the other class, and CPU devices that have subgroups with GPU-class kernels that use them.
  static let all: [BackendUnderTest] = native + openCL

  private static let native = [
    BackendUnderTest("reference", codedCache: true) { ReferenceBackend() },
    BackendUnderTest("CPU, 1 thread", codedCache: true) { try CPUBackend(threads: 1) },
    BackendUnderTest("CPU, 2 threads", codedCache: true) { try CPUBackend(threads: 2) },
  ]

  /// Those of ``all`` that are OpenCL's; where no device is found, one entry whose tests all fail.
  static let openCL: [BackendUnderTest] = {
    do {
      let devices = try OpenCLPlatforms.devices()
      let first = devices[0]
      return devices.enumerated().map { index, device in
        BackendUnderTest("OpenCL \(index), \(device.name)", codedCache: false) {
          try OpenCLBackend(device: device)
        }
      } + [
        BackendUnderTest("OpenCL 0, kernels of the other class", codedCache: false) {
          try OpenCLBackend(device: first, family: first.kind == .cpu ? .gpu : .cpu, features: .portable)
        }
      ]
        + devices.filter { $0.kind == .cpu && !$0.features.subgroupSizes.isEmpty }.map { device in
          BackendUnderTest("OpenCL \(device.index), GPU-class kernels with subgroups", codedCache: false) {
            try OpenCLBackend(device: device, family: .gpu, features: device.features)
          }
        }
    } catch {
      return [BackendUnderTest("OpenCL, no device", codedCache: false) { throw error }]
    }
  }()

  /// The first OpenCL device with NVIDIA's instructions of a warp in plain OpenCL C.
  static let emulatedWarps = BackendUnderTest("OpenCL 0, emulated warp instructions", codedCache: false) {
    try OpenCLBackend(
      device: OpenCLPlatforms.devices()[0], family: .gpu,
      features: KernelFeatures(warpInstructions: .emulated))
  }

  /// All of them with every type of cache they know.
  static let caches: [(BackendUnderTest, CacheType)] =
    all.flatMap { backend in backend.cacheTypes.map { (backend, $0) } } + [(emulatedWarps, .f16)]

  /// All of them in every mode.
  static let modes: [(BackendUnderTest, ComputeMode)] = modes(of: all)

  /// Those of ``modes`` that are OpenCL's.
  static let openCLModes: [(BackendUnderTest, ComputeMode)] = modes(of: openCL)

  private static func modes(of backends: [BackendUnderTest]) -> [(BackendUnderTest, ComputeMode)] {
    backends.flatMap { backend in [ComputeMode.f32, .bf16, .lean, .int8].map { (backend, $0) } }
  }

  /// All of them in every mode with every type of weights; OpenCL requantises to int8 from decoded values that the
  /// other modes test, so a plain type and one of each kind of block are enough there.
  static let modesAndTypes: [(BackendUnderTest, ComputeMode, DType)] =
    modes(of: native).flatMap { backend, mode in TestWeight.dtypes.map { (backend, mode, $0) } }
    + openCLModes.flatMap { backend, mode in
      (mode == .int8 ? [.f16, .q5_1, .q6_K] : TestWeight.dtypes).map { (backend, mode, $0) }
    }
}

extension Backend {
  /// Uploads rows of `width`.
  func matrix(_ values: [Float], _ width: Int) throws -> Tensor {
    try upload(values, shape: [values.count / width, width])
  }

  /// Uploads rows of `width` as columns in the middle of a wider tensor whose other columns are NaN.
  func columns(_ values: [Float], _ width: Int, before: Int = 5, after: Int = 3) throws -> Tensor {
    let rows = values.count / width
    var wide: [Float] = []
    for row in 0..<rows {
      wide += [Float](repeating: .nan, count: before)
      wide += values[(row * width)..<(row * width + width)]
      wide += [Float](repeating: .nan, count: after)
    }
    return try upload(wide, shape: [rows, before + width + after]).columns(before..<(before + width))
  }

  func vector(_ values: [Float]) throws -> Tensor { try upload(values, shape: [values.count]) }
}

/// Records an issue where the results leave the tolerance or the shape.
func expectClose(
  _ backend: any Backend, _ actual: Tensor, _ reference: Reference.Result, _ tolerance: Double,
  absolute: Double = 0, _ comment: @autoclosure () -> String = "", location: SourceLocation = #_sourceLocation
) throws {
  let complaint = Judge.complaint(
    try backend.read(actual), reference, tolerance: tolerance, absolute: absolute, width: actual.width)
  if let complaint { Issue.record("\(comment()) \(complaint)", sourceLocation: location) }
}

/// Records an issue unless `body` throws `shapeMismatch`.
func expectShapeMismatch(
  location: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) {
  let error = #expect(throws: RetortError.self, sourceLocation: location) { try body() }
  #expect(error?.code == .shapeMismatch, sourceLocation: location)
}
