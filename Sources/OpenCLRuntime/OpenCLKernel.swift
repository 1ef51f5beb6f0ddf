import Basics
import COpenCL

/// A value for one kernel parameter.
public enum KernelArgument {
  case buffer(String, OpenCLBuffer)
  case int(String, Int)
  case uint(String, UInt32)
  case ulong(String, UInt64)
  case float(String, Float)
  /// Bytes of local memory.
  case local(String, Int)

  var name: String {
    switch self {
    case .buffer(let name, _), .int(let name, _), .uint(let name, _), .ulong(let name, _),
      .float(let name, _), .local(let name, _):
      name
    }
  }
}

/// One kernel of a built program; its arguments are set by name.
public final class OpenCLKernel: @unchecked Sendable {
  public let name: String
  let handle: cl_kernel
  private let signature: KernelSignature
  // Keeps the program, and with it the compiled code, alive.
  let program: OpenCLProgram

  init(name: String, handle: cl_kernel, signature: KernelSignature, program: OpenCLProgram) {
    self.name = name
    self.handle = handle
    self.signature = signature
    self.program = program
  }

  deinit { clReleaseKernel(handle) }

  /// What the program was built with.
  public var options: String { program.options }

  /// Sets all arguments.
  ///
  /// - Throws: `invalidArgument` where a name is unknown, an argument is missing, or a value has another type
  ///   than the parameter.
  func set(_ arguments: [KernelArgument]) throws {
    guard arguments.count == signature.names.count else {
      let given = Set(arguments.map(\.name))
      let missing = signature.names.filter { !given.contains($0) }
      throw failure("takes \(signature.names.count) arguments, not \(arguments.count); missing: \(missing)")
    }
    for (position, argument) in arguments.enumerated() {
      // Call sites usually keep the kernel's order, so the name is compared in place before it is looked up.
      if signature.names[position] == argument.name {
        try set(argument, at: position)
      } else if let index = signature.indices[argument.name] {
        try set(argument, at: index)
      } else {
        throw failure("has no argument named \(argument.name)")
      }
    }
  }

  private func set(_ argument: KernelArgument, at index: Int) throws {
    let status: cl_int
    let kind: KernelSignature.Kind
    switch argument {
    case .buffer(_, let buffer):
      var memory: cl_mem? = buffer.memory
      (kind, status) = (.buffer, clSetKernelArg(handle, cl_uint(index), MemoryLayout<cl_mem?>.size, &memory))
    case .int(let name, let value):
      guard var small = Int32(exactly: value) else { throw failure("\(name) = \(value) needs over 32 bits") }
      (kind, status) = (.int, clSetKernelArg(handle, cl_uint(index), 4, &small))
    case .uint(_, var value):
      (kind, status) = (.uint, clSetKernelArg(handle, cl_uint(index), 4, &value))
    case .ulong(_, var value):
      (kind, status) = (.ulong, clSetKernelArg(handle, cl_uint(index), 8, &value))
    case .float(_, var value):
      (kind, status) = (.float, clSetKernelArg(handle, cl_uint(index), 4, &value))
    case .local(_, let bytes):
      (kind, status) = (.local, clSetKernelArg(handle, cl_uint(index), bytes, nil))
    }
    guard kind == signature.kinds[index] else {
      throw failure("\(argument.name) is \(signature.kinds[index]), not \(kind)")
    }
    try OpenCLStatus.check(status, "clSetKernelArg", field: "\(name).\(argument.name)")
  }

  private func failure(_ message: String) -> RetortError {
    RetortError(
      .invalidArgument, "kernel \(name) \(message)", field: name,
      remedy: "The call and the kernel source disagree; please report it.")
  }
}
