import Basics
import COpenCL
import Synchronization

/// A built program and the kernels in it.
public final class OpenCLProgram: @unchecked Sendable {
  public let name: String
  /// Whether the build came from the binary cache.
  public let wasCached: Bool
  let options: String
  let source: String
  /// NVIDIA's words on each kernel, once they have been asked for.
  let verboseReport = Mutex<[String: AssemblerReport.Entry]?>(nil)
  /// The PTX that it was loaded from, where that was rewritten.
  let rewritten: [UInt8]?
  private let handle: cl_program
  private let signatures: [String: KernelSignature]

  /// Builds `source` with `options`, or takes the cached binary.
  ///
  /// - Parameter rewrites: loads the program from the PTX that the driver makes of it, with instructions of `sm_90a`
  ///   where comments hold them (``PTXText``).
  /// - Throws: `kernelBuildFailed` with the build log; `unsupported` where the PTX cannot be rewritten.
  init(
    name: String, source: String, options: String, rewrites: Bool = false, context: cl_context,
    device: OpenCLDevice, cache: BinaryCache
  ) throws {
    self.name = name
    self.options = options
    self.source = source
    signatures = KernelSignature.parse(source)
    let key = BinaryCache.key(
      [
        device.platformName, device.platformVersion, device.name, device.version, device.driverVersion,
        options, source,
      ] + (rewrites ? ["rewritten \(PTXText.revision)"] : []))
    if let binary = cache.load(key),
      // Rewritten text was taken without options the first time.
      let program = Self.build(
        binary: binary, options: rewrites ? "" : options, context: context, device: device)
    {
      handle = program
      wasCached = true
      rewritten = rewrites ? binary : nil
      return
    }
    wasCached = false
    let built = try Self.build(
      name: name, source: source, options: options, context: context, device: device)
    if rewrites {
      defer { clReleaseProgram(built) }
      let text = try PTXText(binary: Self.binary(built) ?? []).withInstructionsOfSM90a().bytes
      handle = try Self.build(name: name, binary: text, context: context, device: device)
      rewritten = text
      cache.store(text, key: key)
      return
    }
    handle = built
    rewritten = nil
    // Some drivers compile anew what they are asked for, so nothing is asked without a place for it.
    if cache.folder != nil, let binary = Self.binary(handle) { cache.store(binary, key: key) }
  }

  /// Takes `binary` as it is; `source` tells the kernels' arguments.
  ///
  /// - Throws: `kernelBuildFailed` with the driver's reason where it refuses the binary.
  init(name: String, binary: [UInt8], source: String, context: cl_context, device: OpenCLDevice) throws {
    self.name = name
    self.source = source
    options = ""
    signatures = KernelSignature.parse(source)
    wasCached = false
    rewritten = nil
    handle = try Self.build(name: name, binary: binary, context: context, device: device)
  }

  /// The built program as the driver gives it; nil where it gives none.
  var binary: [UInt8]? { Self.binary(handle) }

  deinit { clReleaseProgram(handle) }

  /// The kernel named `kernelName`.
  ///
  /// - Throws: `kernelBuildFailed` where the program has none of that name.
  public func kernel(_ kernelName: String) throws -> OpenCLKernel {
    var status: cl_int = 0
    guard let signature = signatures[kernelName], let kernel = clCreateKernel(handle, kernelName, &status),
      status == CL_SUCCESS
    else {
      throw RetortError(
        .kernelBuildFailed, "program \(name) has no kernel \(kernelName) (\(OpenCLStatus.name(status)))",
        field: kernelName, remedy: "Please report it with the output of `retort devices`.")
    }
    return OpenCLKernel(name: kernelName, handle: kernel, signature: signature, program: self)
  }

  static func build(
    name: String, source: String, options: String, context: cl_context, device: OpenCLDevice
  ) throws -> cl_program {
    var status: cl_int = 0
    let program = source.withCString { text in
      var pointer: UnsafePointer<CChar>? = text
      return clCreateProgramWithSource(context, 1, &pointer, nil, &status)
    }
    guard let program, status == CL_SUCCESS else {
      throw OpenCLStatus.error(status, "clCreateProgramWithSource", field: name)
    }
    var handle: cl_device_id? = device.handle
    // PoCL's compiler writes to standard error how many warnings it has, mostly that 16 floats are wider than the
    // processor's registers; Tools/check-kernels is where warnings are looked at.
    let quiet = device.kind == .cpu ? options + " -w" : options
    let built = clBuildProgram(program, 1, &handle, quiet, nil, nil)
    guard built == CL_SUCCESS else {
      let log = buildLog(program, device)
      clReleaseProgram(program)
      throw RetortError(
        .kernelBuildFailed,
        "kernel source \(name) does not build on \(device.name) (\(OpenCLStatus.name(built))):\n\(log)",
        field: name, remedy: "Update the device's driver, choose another device, or use `--backend cpu`.")
    }
    return program
  }

  private static func build(
    binary: [UInt8], options: String, context: cl_context, device: OpenCLDevice
  ) -> cl_program? {
    var handle: cl_device_id? = device.handle
    var status: cl_int = 0
    var length = binary.count
    let program = binary.withUnsafeBufferPointer { bytes -> cl_program? in
      var pointer = bytes.baseAddress
      return clCreateProgramWithBinary(context, 1, &handle, &length, &pointer, nil, &status)
    }
    guard let program else { return nil }
    guard status == CL_SUCCESS, clBuildProgram(program, 1, &handle, options, nil, nil) == CL_SUCCESS else {
      clReleaseProgram(program)
      return nil
    }
    return program
  }

  static func build(
    name: String, binary: [UInt8], options: String = "", context: cl_context, device: OpenCLDevice
  ) throws -> cl_program {
    var handle: cl_device_id? = device.handle
    var status: cl_int = 0
    var length = binary.count
    let program = binary.withUnsafeBufferPointer { bytes -> cl_program? in
      var pointer = bytes.baseAddress
      return clCreateProgramWithBinary(context, 1, &handle, &length, &pointer, nil, &status)
    }
    guard let program, status == CL_SUCCESS else {
      throw OpenCLStatus.error(status, "clCreateProgramWithBinary", field: name)
    }
    let built = clBuildProgram(program, 1, &handle, options, nil, nil)
    guard built == CL_SUCCESS else {
      let log = buildLog(program, device)
      clReleaseProgram(program)
      throw RetortError(
        .kernelBuildFailed, "binary \(name) does not build (\(OpenCLStatus.name(built))): \(log)",
        field: name,
        remedy: "Build it from source.")
    }
    return program
  }

  static func buildLog(_ program: cl_program, _ device: OpenCLDevice) -> String {
    var size = 0
    let key = cl_program_build_info(CL_PROGRAM_BUILD_LOG)
    guard clGetProgramBuildInfo(program, device.handle, key, 0, nil, &size) == CL_SUCCESS, size > 0 else {
      return "(the driver gives no build log)"
    }
    var bytes = [UInt8](repeating: 0, count: size)
    _ = bytes.withUnsafeMutableBytes {
      clGetProgramBuildInfo(program, device.handle, key, size, $0.baseAddress, nil)
    }
    return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }

  private static func binary(_ program: cl_program) -> [UInt8]? {
    var size = 0
    let word = MemoryLayout<Int>.size
    guard
      clGetProgramInfo(program, cl_program_info(CL_PROGRAM_BINARY_SIZES), word, &size, nil) == CL_SUCCESS,
      size > 0
    else { return nil }
    var bytes = [UInt8](repeating: 0, count: size)
    let status = bytes.withUnsafeMutableBufferPointer { buffer -> cl_int in
      var pointer: UnsafeMutablePointer<UInt8>? = buffer.baseAddress
      return clGetProgramInfo(program, cl_program_info(CL_PROGRAM_BINARIES), word, &pointer, nil)
    }
    return status == CL_SUCCESS ? bytes : nil
  }
}
