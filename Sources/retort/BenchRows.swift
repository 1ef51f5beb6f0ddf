import ArgumentParser
import Basics
import Foundation
import Tensors

struct BenchRows: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rows", abstract: "Time and bytes of operations on rows, and of AdamW.",
    discussion: """
      These operations do little arithmetic: what counts is how near they come to the device's memory bandwidth.

      Example: retort bench rows --rows 8192 --width 4096 --parameters 50000000
      """)

  @OptionGroup var options: RunOptions
  @Option(help: "Rows of the matrices.")
  var rows = 8192
  @Option(help: "Columns of the matrices.")
  var width = 4096
  @Option(help: "Numbers that AdamW steps; 0 leaves it out.")
  var parameters = 50_000_000

  func run() throws {
    guard (1...1_000_000).contains(rows), (1...1_000_000).contains(width), parameters >= 0,
      rows * width <= 1 << 31, parameters <= 1 << 31
    else { throw ValidationError("Give positive sizes of at most 2³¹ numbers in all.") }
    let backend = try options.withoutProfile.makeTrainingBackend()
    var readings: [(name: String, reading: BenchClock.Reading)] = []
    let shape: Shape = [rows, width]
    let (x, other) = (
      try backend.upload(BenchClock.numbers(shape.count), shape: shape),
      try backend.upload(BenchClock.numbers(shape.count), shape: shape)
    )
    let vector = try backend.upload(BenchClock.numbers(width), shape: [width])
    let operations: [(String, () throws -> Tensor)] = [
      (RMSNorm.name, { try backend.rmsNorm(x, weight: vector, epsilon: 1e-5) }),
      (LayerNorm.name, { try backend.layerNorm(x, weight: vector, bias: vector, epsilon: 1e-5) }),
      (Softmax.name, { try backend.softmax(x) }), (Add.name, { try backend.add(x, other) }),
      (SiLUMul.name, { try backend.siluMul(gate: x, up: other) }),
      (GELU.name, { try backend.gelu(x, .exact) }),
    ]
    for (name, run) in operations {
      readings.append((name, try BenchClock().measure(backend) { _ = try run() }))
    }
    if parameters > 0 { readings.append((AdamW.name, try adamW(backend))) }
    try report(readings, backend)
  }

  private func adamW(_ backend: any TrainingBackend) throws -> BenchClock.Reading {
    let numbers = BenchClock.numbers(parameters)
    let tensors = try (0..<2).map { _ in try backend.upload(numbers, shape: [parameters]) }
    let moments = try (0..<2).map { _ in try backend.allocate([parameters], .f32) }
    for moment in moments { try backend.zero(moment) }
    let step = AdamWStep(learningRate: 1e-5, weightDecay: 0.01, step: 1)
    return try BenchClock().measure(backend) {
      try backend.adamW(
        tensors[0], gradient: tensors[1], firstMoment: moments[0], secondMoment: moments[1], step)
    }
  }

  private func report(
    _ readings: [(name: String, reading: BenchClock.Reading)], _ backend: any TrainingBackend
  ) throws {
    if options.json {
      return Output.write(
        try Output.json([
          "device": backend.device.name, "backend": backend.device.backend, "rows": rows, "width": width,
          "parameters": parameters,
          "cases": readings.map { item in
            item.reading.fields.merging(["operation": item.name] as [String: Any]) { $1 }
          },
        ]))
    }
    Output.write("\(backend.device.name), \(rows) × \(width), AdamW on \(parameters)\n")
    for item in readings {
      Output.write(item.name.padding(toLength: 24, withPad: " ", startingAt: 0) + item.reading.text)
    }
  }
}
