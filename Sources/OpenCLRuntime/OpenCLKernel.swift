import Basics
import COpenCL

/// A value for one kernel parameter; names are literals, which cost nothing to hand over.
public enum KernelArgument {
  case buffer(StaticString, OpenCLBuffer)
  case int(StaticString, Int)
  case uint(StaticString, UInt32)
  case ulong(StaticString, UInt64)
  case float(StaticString, Float)
  /// Bytes of local memory.
  case local(StaticString, Int)

  var name: StaticString {
    switch self {
    case .buffer(let name, _), .int(let name, _), .uint(let name, _), .ulong(let name, _),
      .float(let name, _), .local(let name, _):
      name
    }
  }

  var kind: KernelSignature.Kind {
    switch self {
    case .buffer: .buffer
    case .int: .int
    case .uint: .uint
    case .ulong: .ulong
    case .float: .float
    case .local: .local
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
    guard arguments.count == signature.names.count else { throw missing(arguments) }
    var isInOrder = true
    for position in arguments.indices {
      // Call sites usually keep the kernel's order, so the name is compared in place before it is looked up.
      if signature.isParameter(position, named: arguments[position].name) {
        try set(arguments[position], at: position)
      } else if let index = signature.indices[arguments[position].name.description] {
        isInOrder = false
        try set(arguments[position], at: index)
      } else {
        throw failure("has no argument named \(arguments[position].name)")
      }
    }
    // A name that is given twice stands in another one's place.
    guard isInOrder || Set(arguments.map(\.name.description)).count == arguments.count else {
      throw missing(arguments)
    }
  }

  private func set(_ argument: KernelArgument, at index: Int) throws {
    guard argument.kind == signature.kinds[index] else {
      throw failure("\(argument.name) is \(signature.kinds[index]), not \(argument.kind)")
    }
    let index = cl_uint(index)
    let status: cl_int
    switch argument {
    case .buffer(_, let buffer):
      var memory: cl_mem? = buffer.memory
      status = clSetKernelArg(handle, index, MemoryLayout<cl_mem?>.size, &memory)
    case .int(let name, let value):
      guard var small = Int32(exactly: value) else { throw failure("\(name) = \(value) needs over 32 bits") }
      status = clSetKernelArg(handle, index, 4, &small)
    case .uint(_, var value): status = clSetKernelArg(handle, index, 4, &value)
    case .ulong(_, var value): status = clSetKernelArg(handle, index, 8, &value)
    case .float(_, var value): status = clSetKernelArg(handle, index, 4, &value)
    case .local(_, let bytes): status = clSetKernelArg(handle, index, bytes, nil)
    }
    guard status == CL_SUCCESS else {
      throw OpenCLStatus.error(status, "clSetKernelArg", field: "\(name).\(argument.name)")
    }
  }

  private func missing(_ arguments: [KernelArgument]) -> RetortError {
    let given = Set(arguments.map(\.name.description))
    let missing = signature.names.filter { !given.contains($0) }
    return failure(
      "takes \(signature.names.count) different arguments, not \(given.count); missing: \(missing)")
  }

  private func failure(_ message: String) -> RetortError {
    RetortError(
      .invalidArgument, "kernel \(name) \(message)", field: name,
      remedy: "The call and the kernel source disagree; please report it.")
  }
}
