import COpenCL
import Synchronization

/// The driver's context on one device and the programs built in it, kept for the process's life.
///
/// Contexts of a driver that keeps compiled kernels itself share these: such a driver still reads its headers and
/// preprocesses the source whenever a program is made (35 ms with PoCL 3.1), and tests make many backends.
final class SharedPrograms: @unchecked Sendable {
  private struct Key: Hashable {
    let options: String
    let source: String
  }

  private static let known = Mutex<[Int: SharedPrograms]>([:])

  private let context: cl_context
  private let programs = Mutex<[Key: OpenCLProgram]>([:])

  private init(_ device: OpenCLDevice) throws { context = try OpenCLContext.makeContext(device) }

  /// Those of `device`.
  ///
  /// - Throws: `deviceFailure` or `outOfMemory` where the driver refuses a context.
  static func of(_ device: OpenCLDevice) throws -> SharedPrograms {
    try known.withLock { known in
      if let shared = known[device.index] { return shared }
      let shared = try SharedPrograms(device)
      known[device.index] = shared
      return shared
    }
  }

  /// The context, which the caller releases.
  func retainedContext() -> cl_context {
    clRetainContext(context)
    return context
  }

  /// The program of `source` and `options`, made with `build` where there is none yet.
  func program(options: String, source: String, _ build: () throws -> OpenCLProgram) throws -> OpenCLProgram {
    let key = Key(options: options, source: source)
    return try programs.withLock { programs in
      if let program = programs[key] { return program }
      let program = try build()
      programs[key] = program
      return program
    }
  }
}
