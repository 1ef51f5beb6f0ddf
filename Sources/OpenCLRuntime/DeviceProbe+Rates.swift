import Basics
import Dispatch
import Foundation
import Kernels

/// Work on registers alone, in rounds, on all compute units.
struct ArithmeticLoop {
  let flopsPerRound: Double
  let run: (Int) throws -> Void
  /// - Throws: `deviceFailure` where the device reckoned wrong.
  let check: () throws -> Void
}

/// Measurements; each takes at most a few tenths of a second.
extension DeviceProbe {
  /// Seconds that repeating a measurement may take, and the least of a run that is believed.
  private static let budget = 0.08
  private static let leastRun = 0.004

  func measureRates(_ model: DeviceModel) -> DeviceModel.Rates {
    let copy = Probed { try memoryRate("probe_copy", factor: 2, model) }
    let read = Probed { try memoryRate("probe_read", factor: 1, model) }
    let f32 = Probed { try arithmeticRate(half: false) }
    let f16 =
      model.features.halfArithmetic
      ? Probed { try arithmeticRate(half: true) } : .absent(reason: "the driver has no cl_khr_fp16")
    let bf16 =
      model.works("mma.sync bf16")
      ? Probed { try matrixRate() } : .absent(reason: "mma.sync on bf16 does not run here")
    return DeviceModel.Rates(
      copyGigabytesPerSecond: copy, readGigabytesPerSecond: read, f32Gigaflops: f32, f16Gigaflops: f16,
      bf16MatrixGigaflops: bf16, launchMicroseconds: Probed { try launchCost(finishing: false) },
      launchAndFinishMicroseconds: Probed { try launchCost(finishing: true) },
      measuredAt: ISO8601DateFormatter().string(from: Date()))
  }

  var now: Double { Double(DispatchTime.now().uptimeNanoseconds) / 1e9 }

  func seconds(_ body: () throws -> Void) throws -> Double {
    let start = now
    try body()
    try context.finish()
    return max(now - start, 1e-9)
  }

  /// Seconds of the fastest of at least three runs, repeated while the budget lasts.
  private func fastest(_ body: () throws -> Void) throws -> Double {
    let start = now
    var best = Double.infinity
    var runs = 0
    while runs < 3 || (now - start < Self.budget && runs < 100) {
      best = min(best, try seconds(body))
      runs += 1
    }
    return best
  }

  /// Work doubled from `first` on until one run takes long enough to be believed, at most `limit`.
  private func calibrated(_ first: Int, limit: Int, _ run: (Int) throws -> Void) throws -> Int {
    var work = first
    _ = try seconds { try run(work) }
    while work < limit, try seconds({ try run(work) }) < Self.leastRun { work *= 2 }
    return work
  }

  /// GB/s of a pass over memory that no cache holds, or over as much as the device allows.
  private func memoryRate(_ name: String, factor: Double, _ model: DeviceModel) throws -> Double {
    let (elements, segment, step) = device.kind == .cpu ? (16, 4096, 1) : (4, 16, 256)
    let vector = elements * 4
    let kernel = try ratesProgram(vector: elements).kernel(name)
    let unit = vector * segment * step
    let wanted = max(device.kind == .cpu ? 128 << 20 : 1 << 30, 4 * (model.limits.cacheBytes.value ?? 0))
    let bytes = min(wanted, device.maxAllocationBytes, device.memoryBytes / 8) / unit * unit
    guard bytes > 0 else {
      throw RetortError(.outOfMemory, "no room for \(unit) bytes", remedy: "Free some device memory.")
    }
    let items = bytes / vector / segment
    let x = try context.makeBuffer(byteCount: bytes, pooled: false)
    // Sums are one vector an item.
    let y = try context.makeBuffer(byteCount: name == "probe_copy" ? bytes : items * vector, pooled: false)
    try context.zero(x)
    try context.zero(y)
    let sums: StaticString = name == "probe_copy" ? "y" : "sums"
    let run = {
      try context.launch(
        kernel, [.buffer("x", x), .buffer(sums, y), .ulong("count", UInt64(bytes / vector))],
        global: (items, 1, 1), local: (step, 1, 1))
    }
    _ = try seconds(run)
    return factor * Double(bytes) / (try fastest(run)) / 1e9
  }

  /// GFLOP/s of chains of multiply-adds on all compute units, with the vectors that do best.
  private func arithmeticRate(half: Bool) throws -> Double {
    try vectorWidths(half: half).map { lanes in
      let loop = try multiplyAdds(half: half, lanes: lanes)
      let rate = try rate(loop, limit: 1 << 24)
      try loop.check()
      return rate
    }.max() ?? 0
  }

  /// Twelve chains fill the registers: which vectors fit them follows from the processor's width.
  private func vectorWidths(half: Bool) -> [Int] { device.kind == .cpu ? [8, 16] : half ? [1, 2] : [1] }

  private func rate(_ loop: ArithmeticLoop, limit: Int) throws -> Double {
    let rounds = try calibrated(64, limit: limit, loop.run)
    return loop.flopsPerRound * Double(rounds) / (try fastest { try loop.run(rounds) }) / 1e9
  }

  private func multiplyAdds(half: Bool, lanes: Int) throws -> ArithmeticLoop {
    let kernel = try ratesProgram(vector: lanes, half: half).kernel("probe_multiply_add")
    let group = device.kind == .cpu ? 1 : 256
    let items = group * device.computeUnits * (device.kind == .cpu ? 4 : 16)
    let elementBytes = half ? 2 : 4
    let sums = try context.makeBuffer(byteCount: items * lanes * elementBytes)
    let run = { (rounds: Int) in
      try context.launch(
        kernel,
        [.buffer("sums", sums), .float("a", 0.5), .float("b", 0.5), .uint("rounds", UInt32(rounds))],
        global: (items, 1, 1), local: (group, 1, 1))
    }
    return ArithmeticLoop(flopsPerRound: 2 * 24 * Double(lanes * items), run: run) {
      var first = [UInt8](repeating: 0, count: elementBytes)
      try first.withUnsafeMutableBytes { try context.read(sums, into: $0) }
      // 12, in the element's own bits.
      guard first == (half ? [0x00, 0x4A] : [0, 0, 0x40, 0x41]) else {
        throw RetortError(
          .deviceFailure, "a chain of multiply-adds ends at bytes \(first), not at 12",
          remedy: "Update the driver.")
      }
    }
  }

  /// GFLOP/s of `mma.sync` m16n8k16 from registers.
  private func matrixRate() throws -> Double { try rate(matrixProducts(), limit: 1 << 20) }

  private func matrixProducts() throws -> ArithmeticLoop {
    let kernel = try instructionKernel("probe_mma", macro: "PROBE_MMA")
    let (group, warp) = (256, 32)
    let items = group * device.computeUnits * 8
    let y = try context.makeBuffer(byteCount: items * 16)
    let flops = 8 * 2 * 16 * 8 * 16 * Double(items / warp)
    return ArithmeticLoop(
      flopsPerRound: flops,
      run: { rounds in
        try context.launch(
          kernel, [.buffer("y", y), .uint("ones", Self.onesOfBF16), .uint("rounds", UInt32(rounds))],
          global: (items, 1, 1), local: (group, 1, 1))
      }, check: {})
  }

  /// The fastest arithmetic of `kind`, and how many of its rounds take about `leastRun`.
  func arithmetic(_ kind: ArithmeticMeter.Kind) throws -> (loop: ArithmeticLoop, rounds: Int) {
    if kind == .matrixBF16 {
      let loop = try matrixProducts()
      return (loop, try calibrated(64, limit: 1 << 20, loop.run))
    }
    let loops = try vectorWidths(half: false).map { try multiplyAdds(half: false, lanes: $0) }
    let rated = try loops.map { (loop: $0, rate: try rate($0, limit: 1 << 24)) }
    guard let best = rated.max(by: { $0.rate < $1.rate })?.loop else { preconditionFailure("no width") }
    return (best, try calibrated(64, limit: 1 << 24, best.run))
  }

  /// Microseconds of a launch by this host layer.
  private func launchCost(finishing: Bool) throws -> Double {
    let kernel = try ratesProgram(vector: 4).kernel("probe_none")
    let y = try context.makeBuffer(byteCount: 1024)
    let arguments: [KernelArgument] = [.buffer("y", y), .int("always", 1)]
    let group = device.kind == .cpu ? 1 : 64
    let run = { (count: Int) in
      for _ in 0..<count {
        try context.launch(kernel, arguments, global: (group, 1, 1), local: (group, 1, 1))
        if finishing { try context.finish() }
      }
    }
    let count = try calibrated(16, limit: 4096) { try run($0) }
    return try fastest { try run(count) } / Double(count) * 1e6
  }
}
