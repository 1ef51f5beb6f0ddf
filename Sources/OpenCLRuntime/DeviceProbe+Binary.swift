import Basics

/// Whether programs can come from elsewhere as PTX text.
extension DeviceProbe {
  private static let source = """
    kernel void probe_fill(global float *y, float value) { y[get_global_id(0)] = value; }
    """

  func probeBinary() -> DeviceModel.ProgramBinary {
    let text = Probed<String> {
      let program = try context.makeProgram(name: "probe_fill", source: Self.source)
      guard let bytes = program.binary else { throw refusal("the driver gives no binary") }
      let text = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      guard text.contains(".version"), text.contains(".target sm_") else {
        throw refusal("the binary is not PTX text")
      }
      return text
    }
    guard let own = text.value else {
      let reason = text.reason ?? "no binary"
      return DeviceModel.ProgramBinary(
        ptxTarget: .absent(reason: reason), takesOwnPTX: .absent(reason: reason),
        takesRetargetedPTX: .absent(reason: reason), takesWGMMA: .absent(reason: reason))
    }
    let edited = Self.retargeted(own)
    return DeviceModel.ProgramBinary(
      ptxTarget: .known(Self.target(own)), takesOwnPTX: Probed { try runs(own) },
      takesRetargetedPTX: Probed { try runs(edited) },
      takesWGMMA: Probed { try runs(Self.withFence(edited)) })
  }

  /// Builds and runs `probe_fill` from PTX.
  private func runs(_ text: String) throws -> Bool {
    let program = try context.makeProgram(name: "probe_fill", binary: Array(text.utf8), source: Self.source)
    let y = try context.makeBuffer(byteCount: 32 * 4)
    try context.launch(
      try program.kernel("probe_fill"), [.buffer("y", y), .float("value", 3)], global: (32, 1, 1),
      local: (32, 1, 1))
    var results = [Float](repeating: 0, count: 32)
    try results.withUnsafeMutableBytes { try context.read(y, into: $0) }
    return results.allSatisfy { $0 == 3 }
  }

  private func refusal(_ message: String) -> RetortError {
    RetortError(.unsupported, message, remedy: "Nothing to do: kernels are built from source.")
  }

  /// What follows `.target` up to a comma, blank or the line's end.
  static func target(_ ptx: String) -> String {
    guard let start = ptx.firstRange(of: ".target ")?.upperBound else { return "" }
    return String(ptx[start...].prefix { $0 != "," && !$0.isWhitespace })
  }

  /// The same text for `sm_90a`.
  static func retargeted(_ ptx: String) -> String {
    guard let start = ptx.firstRange(of: ".target ")?.upperBound else { return ptx }
    return ptx[..<start] + "sm_90a" + ptx[start...].dropFirst(target(ptx).count)
  }

  /// The same text with a `wgmma.fence` before the first return.
  static func withFence(_ ptx: String) -> String {
    guard let place = ptx.firstRange(of: "ret;")?.lowerBound else { return ptx }
    return ptx[..<place] + "wgmma.fence.sync.aligned;\n" + ptx[place...]
  }
}
