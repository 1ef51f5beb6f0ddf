import Kernels
import OpenCLRuntime
import Synchronization

/// Built kernels by sources, name and options; each is built when first asked for.
final class KernelLibrary: Sendable {
  private struct ProgramKey: Hashable {
    let sources: [KernelSource]
    let options: String
  }

  private struct KernelKey: Hashable {
    let program: ProgramKey
    let name: String
  }

  private struct State {
    var programs: [ProgramKey: OpenCLProgram] = [:]
    var kernels: [KernelKey: OpenCLKernel] = [:]
  }

  private let context: OpenCLContext
  /// What every program is told of the device.
  private let deviceOptions: String
  private let state = Mutex(State())

  init(context: OpenCLContext, features: KernelFeatures) {
    self.context = context
    deviceOptions = features.halfArithmetic ? "-DHALF_ARITHMETIC=1 " : ""
  }

  /// The kernel `name` of the program made of `sources`, end to end, built with `options`.
  func kernel(_ sources: [KernelSource], _ name: String, _ options: String) throws -> OpenCLKernel {
    let program = ProgramKey(sources: sources, options: options)
    let key = KernelKey(program: program, name: name)
    return try state.withLock { state in
      if let kernel = state.kernels[key] { return kernel }
      let built: OpenCLProgram
      if let known = state.programs[program] {
        built = known
      } else {
        built = try context.makeProgram(
          name: sources.last?.name ?? name, source: sources.map(\.text).joined(separator: "\n"),
          options: "-cl-std=CL1.2 " + deviceOptions + options)
        state.programs[program] = built
      }
      let kernel = try built.kernel(name)
      state.kernels[key] = kernel
      return kernel
    }
  }
}
