import ArgumentParser

struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures speed, and what it costs in accuracy.",
    discussion: "Example: retort bench generate --model smollm2-135m --compute lean",
    subcommands: [
      BenchGenerate.self, BenchLabel.self, BenchOps.self, BenchGEMM.self, BenchAttention.self, BenchRows.self,
      BenchAgreement.self, BenchScore.self, BenchTrain.self,
    ])
}
