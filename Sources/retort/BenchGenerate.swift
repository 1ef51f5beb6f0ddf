import ArgumentParser
import Basics
import Foundation
import Generation
import Tensors

struct BenchGenerate: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate", abstract: "Tokens per second of prefill and decode.",
    discussion: """
      Example: retort bench generate --model smollm2-135m --prompt-tokens 512 --generate-tokens 128 --batch 1,8,32

      Prefill runs each prompt alone; decode runs the given numbers of sequences together after a prompt of
      --decode-prompt-tokens each.

      Example: retort bench generate --random-weights llama-8b --weight-type q4_K --batch 1,32
      """)

  @OptionGroup var modelOptions: BenchModelOptions
  @OptionGroup var options: RunOptions

  @Option(help: "Tokens of the prompt that prefill is measured on.")
  var promptTokens = 512
  @Option(help: "Tokens that each sequence generates.")
  var generateTokens = 128
  @Option(help: "Numbers of sequences to decode together, separated by commas.")
  var batch = "1,8,32"
  @Option(help: "Tokens of each sequence's prompt before decode.")
  var decodePromptTokens = 128
  @Option(help: "Times each measurement is repeated; the best counts.")
  var repeats = 3
  @Option(help: "Tokens of a step at most, prefill and decode together.")
  var stepTokens = 512

  func run() throws {
    let sizes = batch.split(separator: ",").compactMap { Int($0) }
    guard !sizes.isEmpty, sizes.allSatisfy({ $0 > 0 && $0 <= 1024 }), promptTokens > 0, generateTokens > 1,
      decodePromptTokens > 0, repeats > 0, stepTokens > 0
    else { throw ValidationError("Give positive sizes, for example --batch 1,8,32.") }
    let session = try BenchModel(modelOptions, options)
    let prefill = try measurePrefill(session)
    let decode = try sizes.map { (size: $0, rate: try measureDecode(session, sequences: $0)) }
    if options.json {
      return Output.write(
        try Output.json([
          "model": session.name, "compute": session.compute.rawValue, "weights": session.weights,
          "backend": session.backend.device.backend,
          "threads": session.backend.device.computeUnits, "load_seconds": session.loadSeconds,
          "prefill": [["batch": 1, "prompt_tokens": promptTokens, "tokens_per_second": prefill]],
          "decode": decode.map { ["batch": $0.size, "tokens_per_second": $0.rate] },
          "weight_bytes": session.model.weightBytes,
        ]))
    }
    let perToken = Double(session.model.flopsPerToken)
    let c = session.model.configuration
    let output = 2.0 * Double(c.hiddenSize * c.vocabularySize)
    func row(_ name: String, _ rate: Double, flops: Double, steps: Double) {
      Output.write(
        name.padding(toLength: 16, withPad: " ", startingAt: 0)
          + String(
            format: "%9.1f tokens/s %8.1f GFLOP/s %7.1f GB/s of weights\n", rate, rate * flops / 1e9,
            steps * Double(session.model.weightBytes) / 1e9))
    }
    Output.write(
      "\(session.name), \(session.weights), \(session.compute.rawValue), \(session.backend.device.name), loaded in "
        + String(format: "%.2f s\n", session.loadSeconds))
    row(
      "prefill \(promptTokens)", prefill, flops: perToken,
      steps: prefill / Double(min(stepTokens, promptTokens)))
    for (size, rate) in decode {
      row("decode ×\(size)", rate, flops: perToken + output, steps: rate / Double(size))
    }
  }

  private func prompt(_ count: Int, _ seed: Int, _ session: BenchModel) -> [Int32] {
    let noise = Philox(key: UInt64(seed))
    let size = UInt64(session.model.configuration.vocabularySize)
    return (0..<count).map { Int32(UInt64(noise.words(UInt64($0))[0]) % size) }
  }

  private func measurePrefill(_ session: BenchModel) throws -> Double {
    let engine = try session.makeEngine(
      sequences: 1, context: promptTokens + 2, cacheTokens: promptTokens + 32,
      stepTokens: stepTokens)
    var best = 0.0
    // One more than asked: the first warms up.
    for round in 0...repeats {
      _ = try engine.add(
        GenerationRequest(prompt: prompt(promptTokens, round, session), maxTokens: 1))
      let start = DispatchTime.now().uptimeNanoseconds
      while !engine.isIdle { _ = try engine.step() }
      let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
      if round > 0 { best = max(best, Double(promptTokens) / seconds) }
    }
    return best
  }

  private func measureDecode(_ session: BenchModel, sequences: Int) throws -> Double {
    let length = decodePromptTokens + generateTokens
    let engine = try session.makeEngine(
      sequences: sequences, context: length + 1, cacheTokens: sequences * (length + 32),
      stepTokens: stepTokens)
    var best = 0.0
    for round in 0..<max(1, repeats - 1) {
      for sequence in 0..<sequences {
        _ = try engine.add(
          GenerationRequest(
            prompt: prompt(decodePromptTokens, round * 1000 + sequence, session), maxTokens: generateTokens))
      }
      // Decode is timed from the step after the last prompt token.
      let before = engine.statistics.prefillTokens
      while engine.statistics.prefillTokens - before < sequences * decodePromptTokens {
        _ = try engine.step()
      }
      let decoded = engine.statistics.decodeTokens
      let start = DispatchTime.now().uptimeNanoseconds
      while !engine.isIdle { _ = try engine.step() }
      let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
      best = max(best, Double(engine.statistics.decodeTokens - decoded) / seconds)
    }
    return best
  }
}
