import ArgumentParser
import Basics
import Foundation
import Generation
import Tensors

struct BenchOps: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ops", abstract: "Time, arithmetic and bytes of each operation in a model's steps.",
    discussion: "Example: retort bench ops --model smollm2-135m --rows 512 --compute lean")

  @OptionGroup var modelOptions: ModelOptions
  @OptionGroup var options: RunOptions

  @Option(help: "Tokens in a step: 1 shows decode, 512 prefill.")
  var rows = 512
  @Option(help: "Steps to measure.")
  var steps = 10

  func run() throws {
    guard rows > 0, rows <= 4096, steps > 0 else {
      throw ValidationError("Give --rows from 1 to 4096 and --steps of at least 1.")
    }
    let session = try ModelSession(modelOptions, options)
    let ceiling = try Ceiling.measure(session.backend)
    let runner = try session.makeRunner(cacheTokens: rows + ModelRunner.blockSize)
    let slice = SequenceSlice(
      rowStart: 0, rowCount: rows, contextLength: rows,
      blockTable: Array(0..<Int32((rows + ModelRunner.blockSize - 1) / ModelRunner.blockSize)))
    let batch = try BatchMetadata(
      tokenIDs: (0..<rows).map { Int32($0 % 100) }, sequences: [slice], blockSize: ModelRunner.blockSize)
    let profiler = Profiler()
    for step in 0...steps {
      if step == 1 { session.backend.profiler = profiler }
      _ = try runner.run(batch, outputRows: [Int32(rows - 1)]).read([LogProbabilityRequest()])
    }
    session.backend.profiler = nil
    try report(profiler, ceiling)
  }

  private func report(_ profiler: Profiler, _ ceiling: Ceiling) throws {
    let totals = profiler.totals.sorted { $0.value.nanoseconds > $1.value.nanoseconds }
    let all = Double(totals.reduce(0) { $0 + $1.value.nanoseconds })
    if options.json {
      let operations: [[String: Any]] = totals.map { name, total in
        [
          "operation": name, "calls": total.calls, "milliseconds": Double(total.nanoseconds) / 1e6,
          "gflops": Double(total.flops) / Double(max(1, total.nanoseconds)),
          "gigabytes_per_second": Double(total.bytes) / Double(max(1, total.nanoseconds)),
        ]
      }
      return Output.write(
        try Output.json([
          "operations": operations, "ceiling_gflops_f32": ceiling.gflops,
          "ceiling_gigabytes_per_second": ceiling.gigabytesPerSecond,
        ]))
    }
    Output.write("operation             ms/step  share   GFLOP/s (of f32 GEMM)   GB/s (of read)\n")
    for (name, total) in totals {
      let time = Double(max(1, total.nanoseconds))
      let flops = Double(total.flops) / time
      let bytes = Double(total.bytes) / time
      Output.write(
        name.padding(toLength: 20, withPad: " ", startingAt: 0)
          + String(
            format: "%9.3f %5.1f%% %9.1f (%4.0f%%) %16.1f (%4.0f%%)\n", time / 1e6 / Double(steps),
            time / all * 100, flops, flops / ceiling.gflops * 100, bytes,
            bytes / ceiling.gigabytesPerSecond * 100))
    }
    Output.write(
      String(
        format: "measured ceilings: %.0f GFLOP/s (f32 product of 1024³), %.1f GB/s (one pass over 256 MB)\n",
        ceiling.gflops, ceiling.gigabytesPerSecond))
  }
}

/// What the device reaches on a large Float32 product and on one pass over memory.
struct Ceiling {
  let gflops: Double
  let gigabytesPerSecond: Double

  static func measure(_ backend: any Backend) throws -> Ceiling {
    let n = 1024
    let product = try best(backend, inputWidth: n, outputWidth: n, rows: n, compute: .f32)
    // One row against 256 MB of bf16 weights reads them once.
    let wide = try best(backend, inputWidth: 4096, outputWidth: 32768, rows: 1, compute: .bf16)
    return Ceiling(
      gflops: 2 * Double(n * n * n) / product, gigabytesPerSecond: Double(4096 * 32768 * 2) / wide)
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
