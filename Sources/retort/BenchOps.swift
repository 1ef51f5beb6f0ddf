import ArgumentParser
import Basics
import Foundation
import Generation
import Tensors

struct BenchOps: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ops", abstract: "Time, arithmetic and bytes of each operation in a model's steps.",
    discussion: "Example: retort bench ops --model smollm2-135m --rows 512 --compute lean")

  @OptionGroup var modelOptions: BenchModelOptions
  @OptionGroup var options: RunOptions

  @Option(help: "Tokens in a step: 1 shows decode, 512 prefill.")
  var rows = 512
  @Option(help: "Steps to measure.")
  var steps = 10

  func run() throws {
    guard rows > 0, rows <= 4096, steps > 0 else {
      throw ValidationError("Give --rows from 1 to 4096 and --steps of at least 1.")
    }
    let session = try BenchModel(modelOptions, options.withoutProfile)
    let ceiling = Ceilings.measured(on: session.backend)
    let runner = try session.makeRunner(cacheTokens: rows + ModelRunner.blockSize)
    let slice = SequenceSlice(
      rowStart: 0, rowCount: rows, contextLength: rows,
      blockTable: Array(0..<Int32((rows + ModelRunner.blockSize - 1) / ModelRunner.blockSize)))
    let batch = try BatchMetadata(
      tokenIDs: (0..<rows).map { Int32($0 % 100) }, sequences: [slice], blockSize: ModelRunner.blockSize)
    let profiler = options.profiling.makeProfiler()
    for step in 0...steps {
      if step == 1 { session.backend.profiler = profiler }
      _ = try runner.run(batch, outputRows: [Int32(rows - 1)]).read([LogProbabilityRequest()])
    }
    session.backend.profiler = nil
    let report = ProfileReport(profiler, device: session.backend.device.name, ceilings: ceiling)
    Output.write(
      try options.json
        ? Output.json(report.object.merging(["steps": steps, "rows": rows]) { $1 })
        : "\(steps) steps of \(rows) rows: " + report.text)
    if let trace = options.profiling.trace {
      try ProfileTrace.write([.init(name: session.backend.device.name, profiler: profiler)], to: trace)
    }
  }
}
