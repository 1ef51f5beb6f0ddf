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

  /// Sets all arguments, those of both lists.
  ///
  /// - Throws: `invalidArgument` where a name is unknown, an argument is missing, or a value has another type
  ///   than the parameter.
  func set(_ arguments: [KernelArgument], _ more: [KernelArgument]) throws {
    let count = arguments.count + more.count
    guard count == signature.names.count else { throw missing(arguments + more) }
    // A bit a parameter: a name that is given twice stands in another one's place.
    var unset: UInt64 = count < 64 ? 1 << UInt64(count) - 1 : .max
    var next = 0
    for position in 0..<count {
      let argument = position < arguments.count ? arguments[position] : more[position - arguments.count]
      // Call sites mostly keep the kernel's order.
      guard let index = signature.index(of: argument.name, expectedAt: next) else {
        throw failure("has no argument named \(argument.name)")
      }
      try set(argument, at: index)
      unset &= ~(1 << UInt64(index))
      next = index + 1
    }
    guard unset == 0 else { throw missing(arguments + more) }
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
