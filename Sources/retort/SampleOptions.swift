import ArgumentParser
import Generation
import Labelling

/// How many rationales a pair is given, and how they are drawn.
struct SampleOptions: ParsableArguments {
  @Option(help: "Rationales a pair; above 1 they vote, and their label distributions are averaged.")
  var samples = 1
  @Option(
    help: ArgumentHelp(
      "0 takes the most likely token, higher is more varied; 0 by default, 0.7 with --samples above 1.",
      valueName: "temperature"))
  var temperature: Float?
  @Option(help: "Keep the most likely tokens that reach this probability together.")
  var topP: Float = 1
  @Option(help: "The same seed gives the same rationales.")
  var seed: UInt64 = 0

  static let mostSamples = 1024

  func validate() throws {
    if samples < 1 || samples > SampleOptions.mostSamples {
      throw ValidationError("--samples must be from 1 to \(SampleOptions.mostSamples).")
    }
    if let temperature, !(temperature >= 0 && temperature.isFinite) {
      throw ValidationError("--temperature must be a number from 0 up.")
    }
    if !(topP > 0 && topP <= 1) { throw ValidationError("--top-p must be above 0 and at most 1.") }
    if samples > 1, parameters.temperature == 0 {
      throw ValidationError(
        "--samples above 1 needs a --temperature above 0; all rationales would be the same.")
    }
  }

  var parameters: SamplingParameters {
    SamplingParameters(temperature: temperature ?? (samples > 1 ? 0.7 : 0), topP: topP, seed: seed)
  }

  /// What shapes a record, by the names of the options; empty for one greedy rationale.
  var facts: [String: String] {
    let parameters = parameters
    guard parameters.temperature > 0 else { return [:] }
    return [
      "samples": String(samples), "temperature": String(parameters.temperature), "top-p": String(topP),
      "seed": String(seed),
    ]
  }
}
