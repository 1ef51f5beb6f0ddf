import Basics
import Kernels
import OpenCLRuntime
import Synchronization

/// Built kernels by source, name and options; each is built when first asked for.
///
/// It is asked at every launch, so a kernel is found by what its call site writes: an object, a literal's place and
/// options that are told apart without their text. Only what is not found so is looked up by its text.
final class KernelLibrary: Sendable {
  /// As call sites write it.
  private struct Site: Hashable {
    let source: KernelSource
    let name: StaticString
    let options: KernelOptions

    static func == (a: Site, b: Site) -> Bool {
      a.source === b.source && a.name.utf8Start == b.name.utf8Start
        && a.name.utf8CodeUnitCount == b.name.utf8CodeUnitCount && a.options == b.options
    }

    func hash(into hasher: inout Hasher) {
      hasher.combine(UInt(bitPattern: name.utf8Start))
      hasher.combine(options)
    }
  }

  private struct ProgramKey: Hashable {
    let source: KernelSource
    let options: String
  }

  private struct KernelKey: Hashable {
    let program: ProgramKey
    let name: String
  }

  private struct State {
    var known: [Site: OpenCLKernel] = [:]
    var programs: [ProgramKey: OpenCLProgram] = [:]
    var kernels: [KernelKey: OpenCLKernel] = [:]
  }

  private let context: OpenCLContext
  /// What every program is told of the device.
  private let deviceOptions: String
  private let warpgroups: KernelFeatures.WarpgroupInstructions
  private let state = Mutex(State())

  init(context: OpenCLContext, features: KernelFeatures) {
    self.context = context
    deviceOptions = features.halfArithmetic ? "-DHALF_ARITHMETIC=1 " : ""
    warpgroups = features.warpgroupInstructions
  }

  /// The kernel `name` of `source` and what it is based on, built with `options`.
  ///
  /// - Throws: `kernelBuildFailed` with the build log.
  func kernel(_ source: KernelSource, _ name: StaticString, _ options: KernelOptions) throws -> OpenCLKernel {
    let site = Site(source: source, name: name, options: options)
    return try state.withLock { state in
      if let kernel = state.known[site] { return kernel }
      let kernel = try build(source, name.description, options.text, &state)
      state.known[site] = kernel
      return kernel
    }
  }

  private func build(_ source: KernelSource, _ name: String, _ options: String, _ state: inout State) throws
    -> OpenCLKernel
  {
    let program = ProgramKey(source: source, options: options)
    let key = KernelKey(program: program, name: name)
    if let kernel = state.kernels[key] { return kernel }
    let built: OpenCLProgram
    if let known = state.programs[program] {
      built = known
    } else {
      built = try makeProgram(source, options)
      state.programs[program] = built
    }
    let kernel = try built.kernel(name)
    state.kernels[key] = kernel
    return kernel
  }

  private func makeProgram(_ source: KernelSource, _ options: String) throws -> OpenCLProgram {
    do {
      return try context.makeProgram(
        name: source.name, source: source.programText,
        options: "-cl-std=CL1.2 " + deviceOptions + warpgroups.buildOptions(for: source)
          + (source.roundsDivision && context.device.roundsDivision
            ? "-cl-fp32-correctly-rounded-divide-sqrt " : "") + options,
        rewrites: source.needsSM90a && warpgroups == .rewritten)
    } catch let error as RetortError where source.needsSM90a {
      // Only a table asks for these instructions, and the device has others.
      throw RetortError(
        error.code, error.message, field: error.field,
        remedy: """
          Set WGMMA to 0 for \(TunableKernel.productWarpgroupChoice.name) in your table of launch parameters \
          (\(Tuning.userFolder ?? "retort/tuned in the cache")), so that mma.sync multiplies.
          """)
    }
  }
}
