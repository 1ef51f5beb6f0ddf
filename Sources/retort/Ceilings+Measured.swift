import Basics
import Dispatch
import OpenCLBackend
import Tensors

extension Ceilings {
  /// What the device reaches: of an OpenCL device as `retort devices --probe` measures it, kept from an earlier run
  /// where there was one; of the processor a large Float32 product and one pass over memory. Nil where they cannot be
  /// measured, for want of room or since the driver refuses.
  static func measured(on backend: any Backend) -> Ceilings? {
    guard let device = backend as? OpenCLBackend else { return ofProducts(backend) }
    guard let found = try? device.deviceModel().ceilings, let f32 = found.f32Gigaflops,
      let memory = found.memoryGigabytesPerSecond
    else { return nil }
    // Products round to two bytes in matrix instructions where the device has them; nothing else is bound by them.
    if let bf16 = found.bf16Gigaflops, bf16 > f32 {
      return Ceilings(
        flopsPerSecond: bf16 * 1e9, bytesPerSecond: memory * 1e9,
        source: "measured: bf16 matrix instructions, reading or copying memory")
    }
    return Ceilings(
      flopsPerSecond: f32 * 1e9, bytesPerSecond: memory * 1e9,
      source: "measured: f32 multiply-adds, reading or copying memory")
  }

  private static func ofProducts(_ backend: any Backend) -> Ceilings? {
    let n = 1024
    guard let product = try? best(backend, inputWidth: n, outputWidth: n, rows: n, compute: .f32),
      // One row against 256 MB of bf16 weights reads them once.
      let pass = try? best(backend, inputWidth: 4096, outputWidth: 32768, rows: 1, compute: .bf16)
    else { return nil }
    return Ceilings(
      flopsPerSecond: 2 * Double(n * n * n) / product * 1e9,
      bytesPerSecond: Double(4096 * 32768 * 2) / pass * 1e9,
      source: "measured: f32 product of 1024³, one pass over 256 MB")
  }

  /// Nanoseconds of the fastest of five products.
  private static func best(
    _ backend: any Backend, inputWidth: Int, outputWidth: Int, rows: Int, compute: ComputeMode
  ) throws -> Double {
    let memory = Zeros(byteCount: inputWidth * outputWidth * 2)
    let source = WeightSource(
      name: "ceiling", dtype: .bf16, shape: [outputWidth, inputWidth], file: "memory",
      bytes: { memory.bytes })
    let weight = try backend.loadMatrix([source], compute: compute)
    let x = try backend.upload([Float](repeating: 1, count: rows * inputWidth), shape: [rows, inputWidth])
    var best = Double.infinity
    for _ in 0..<6 {
      let start = DispatchTime.now().uptimeNanoseconds
      _ = try backend.matmul(x, weight, bias: nil)
      try backend.synchronize()
      best = min(best, Double(DispatchTime.now().uptimeNanoseconds - start))
    }
    return best
  }

  private final class Zeros: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
    private let memory: UnsafeMutableRawBufferPointer

    init(byteCount: Int) {
      memory = .allocate(byteCount: byteCount, alignment: 64)
      memory.initializeMemory(as: UInt8.self, repeating: 0)
      bytes = UnsafeRawBufferPointer(memory)
    }

    deinit { memory.deallocate() }
  }
}
