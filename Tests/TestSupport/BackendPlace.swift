import CPUBackend
import OpenCLBackend
import OpenCLRuntime
import Tensors
import Testing

/// A backend that whole models run on.
public struct BackendPlace: Sendable, CustomTestStringConvertible {
  public let testDescription: String
  private let make: @Sendable () throws -> any Backend & TrainingBackend

  /// A new backend; throws, so that the test fails, where it cannot be made.
  public var backend: any Backend & TrainingBackend {
    get throws { try make() }
  }

  public static let cpu = BackendPlace(testDescription: "CPU") { try CPUBackend(threads: 2) }

  /// Every OpenCL device; where none is found, one entry whose tests all fail.
  public static let openCL: [BackendPlace] = {
    do {
      return try OpenCLPlatforms.devices().enumerated().map { index, device in
        BackendPlace(testDescription: "OpenCL \(index), \(device.name)") {
          try OpenCLBackend(device: device)
        }
      }
    } catch {
      return [BackendPlace(testDescription: "OpenCL, no device") { throw error }]
    }
  }()

  /// The CPU and ``openCL``.
  public static let all: [BackendPlace] = [cpu] + openCL

  /// All of them, and the first OpenCL device with the kernels of the other class.
  public static let allFamilies: [BackendPlace] =
    all + [
      BackendPlace(testDescription: "OpenCL 0, kernels of the other class") {
        let device = try OpenCLPlatforms.devices()[0]
        return try OpenCLBackend(device: device, family: device.kind == .cpu ? .gpu : .cpu)
      }
    ]
}
