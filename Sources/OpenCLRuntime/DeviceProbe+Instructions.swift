import Basics
import Kernels

/// NVIDIA's instructions: each is built alone, run once, and its results compared with what they must be.
extension DeviceProbe {
  private struct Check: Sendable {
    let name: String
    let kernel: String
    let macro: String
    /// What each of the first 32 results must be.
    let expected: @Sendable (Int) -> Float
  }

  private static let checks = [
    // Eight accumulators of one round: 8 · 16.
    Check(name: "mma.sync bf16", kernel: "probe_mma", macro: "PROBE_MMA") { _ in 128 },
    Check(name: "ldmatrix", kernel: "probe_ldmatrix", macro: "PROBE_LDMATRIX") { item in
      Float(item / 4 * 16 + item % 4 * 2)
    },
    Check(name: "cp.async", kernel: "probe_cp_async", macro: "PROBE_CP_ASYNC") { item in
      Float((item * 4 + 4) % 128)
    },
    Check(name: "dp4a", kernel: "probe_dp4a", macro: "PROBE_DP4A") { item in Float(8 + item) },
  ]

  func probeInstructions() -> [DeviceModel.Instruction] {
    Self.checks.map { check in
      DeviceModel.Instruction(name: check.name, works: Probed { try run(check) })
    }
  }

  func instructionKernel(_ name: String, macro: String) throws -> OpenCLKernel {
    try context.makeProgram(
      name: KernelSource.probeInstructions.name, source: KernelSource.probeInstructions.text,
      options: "-cl-std=CL1.2 -D\(macro) "
    ).kernel(name)
  }

  private func run(_ check: Check) throws -> Bool {
    let kernel = try instructionKernel(check.kernel, macro: check.macro)
    let x = try context.makeBuffer(byteCount: 512)
    let y = try context.makeBuffer(byteCount: 512)
    let values = (0..<128).map(Float.init)
    try values.withUnsafeBytes { try context.write($0, to: x) }
    try context.zero(y)
    var arguments: [KernelArgument] = [.buffer("y", y)]
    if check.macro == "PROBE_MMA" { arguments += [.uint("ones", Self.onesOfBF16), .uint("rounds", 1)] }
    if check.macro == "PROBE_CP_ASYNC" { arguments.append(.buffer("x", x)) }
    try context.launch(kernel, arguments, global: (32, 1, 1), local: (32, 1, 1))
    var results = [Float](repeating: .nan, count: 32)
    try results.withUnsafeMutableBytes { try context.read(y, into: $0) }
    return results.indices.allSatisfy { results[$0] == check.expected($0) }
  }

  /// Two ones in bfloat16.
  static var onesOfBF16: UInt32 { 0x3F80_3F80 }
}
