import Basics

/// Whether programs can come from elsewhere as PTX text.
extension DeviceProbe {
  private static let source = """
    kernel void probe_fill(global float *y, float value) { y[get_global_id(0)] = value; }
    """

  func probeBinary() -> DeviceModel.ProgramBinary {
    var own: PTXText?
    let target = Probed<String> {
      let program = try context.makeProgram(name: "probe_fill", source: Self.source)
      guard let bytes = program.binary else { throw refusal("the driver gives no binary") }
      let text = try PTXText(binary: bytes)
      own = text
      return text.target
    }
    guard let own else {
      let reason = target.reason ?? "no binary"
      return DeviceModel.ProgramBinary(
        ptxTarget: target, takesOwnPTX: .absent(reason: reason),
        takesRetargetedPTX: .absent(reason: reason), takesWGMMA: .absent(reason: reason))
    }
    let edited = own.retargeted("sm_90a")
    return DeviceModel.ProgramBinary(
      ptxTarget: target, takesOwnPTX: Probed { try runs(own) },
      takesRetargetedPTX: Probed { try runs(edited) },
      takesWGMMA: Probed { try runs(edited.withFence().withVersion(8)) })
  }

  /// Builds and runs `probe_fill` from PTX.
  private func runs(_ text: PTXText) throws -> Bool {
    let program = try context.makeProgram(name: "probe_fill", binary: text.bytes, source: Self.source)
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
}
