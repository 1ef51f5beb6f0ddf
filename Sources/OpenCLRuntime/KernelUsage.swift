import COpenCL

/// What a kernel takes of a device, as far as its driver tells.
public struct KernelUsage: Sendable, Hashable, Codable {
  /// Work-items that a group of this kernel may have (CL_KERNEL_WORK_GROUP_SIZE).
  public var workGroupLimit: Int?
  /// Bytes of local memory a group, those of arguments included (CL_KERNEL_LOCAL_MEM_SIZE).
  public var localBytes: Int?
  /// Bytes of private memory a work-item (CL_KERNEL_PRIVATE_MEM_SIZE).
  public var privateBytes: Int?
  /// Registers a work-item; NVIDIA only.
  public var registers: Int?
  /// Bytes a work-item that found no place in registers: stored and loaded again; NVIDIA only.
  public var spillBytes: Int?
  /// Whether the assembler lets each `wgmma` end before the next begins; NVIDIA only.
  public var serializesWGMMA = false

  public init() {}
}

extension OpenCLKernel {
  func usage(on device: OpenCLDevice, context: cl_context) -> KernelUsage {
    func value<T: FixedWidthInteger>(_ key: Int32, _: T.Type) -> Int? {
      var value = T.zero
      let status = clGetKernelWorkGroupInfo(
        handle, device.handle, cl_kernel_work_group_info(key), MemoryLayout<T>.size, &value, nil)
      return status == CL_SUCCESS ? Int(clamping: value) : nil
    }
    var usage = KernelUsage()
    usage.workGroupLimit = value(CL_KERNEL_WORK_GROUP_SIZE, Int.self)
    usage.localBytes = value(CL_KERNEL_LOCAL_MEM_SIZE, cl_ulong.self)
    usage.privateBytes = value(CL_KERNEL_PRIVATE_MEM_SIZE, cl_ulong.self)
    if let report = program.assemblerReport(context, device)[name] {
      (usage.registers, usage.spillBytes) = (report.registers, report.spillBytes)
      usage.serializesWGMMA = report.serializesWGMMA
    }
    return usage
  }
}

extension OpenCLProgram {
  /// What NVIDIA's assembler says of each kernel. It says so while it builds, so the program is built once more;
  /// empty for other drivers.
  func assemblerReport(_ context: cl_context, _ device: OpenCLDevice) -> [String: AssemblerReport.Entry] {
    guard device.has("cl_nv_compiler_options") else { return [:] }
    return verboseReport.withLock { known in
      if let known { return known }
      var report: [String: AssemblerReport.Entry] = [:]
      let verbose = " -cl-nv-verbose"
      let built =
        if let rewritten {
          try? Self.build(name: name, binary: rewritten, options: verbose, context: context, device: device)
        } else {
          try? Self.build(
            name: name, source: source, options: options + verbose, context: context, device: device)
        }
      if let built {
        report = AssemblerReport.parse(Self.buildLog(built, device))
        clReleaseProgram(built)
      }
      known = report
      return report
    }
  }
}

/// The lines that NVIDIA's assembler (`ptxas -v`) writes of each kernel.
enum AssemblerReport {
  struct Entry: Sendable, Hashable {
    var registers: Int?
    var spillBytes: Int?
    var serializesWGMMA = false
  }

  /// Entries by kernel name.
  static func parse(_ log: String) -> [String: Entry] {
    var entries: [String: Entry] = [:]
    var name = ""
    for line in log.split(whereSeparator: \.isNewline) {
      let words = line.split { " ,'\t".contains($0) }.map(String.init)
      func number(before word: String, _ next: String) -> Int? {
        guard
          let index = words.indices.dropLast().first(where: { words[$0] == word && words[$0 + 1] == next })
        else { return nil }
        // "8 bytes spill stores": the number stands two words before "spill".
        return index >= 2 ? Int(words[index - 2]) : nil
      }
      if let index = words.firstIndex(of: "function"), words.contains("Compiling"), index + 1 < words.count {
        name = words[index + 1]
      } else if let index = words.firstIndex(of: "for"), words.contains("properties"),
        index + 1 < words.count
      {
        name = words[index + 1]
      } else if words.contains("wgmma.mma_async"), words.contains("serialized") {
        // "… are serialized due to REASON in the function 'NAME'"; the reason is the compiler's, and may be several.
        let index = words.lastIndex(of: "function").map { $0 + 1 }
        entries[index.flatMap { $0 < words.count ? words[$0] : nil } ?? name, default: Entry()]
          .serializesWGMMA = true
      } else if let stores = number(before: "spill", "stores"), let loads = number(before: "spill", "loads") {
        entries[name, default: Entry()].spillBytes = stores + loads
      } else if let index = words.firstIndex(of: "Used"), index + 2 < words.count,
        words[index + 2] == "registers"
      {
        entries[name, default: Entry()].registers = Int(words[index + 1])
      }
    }
    entries[""] = nil
    return entries
  }
}
