import ArgumentParser
import Basics
import Foundation

/// The command line; a file for each subcommand.
@main
struct Retort: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "retort",
    abstract: "Turns a large language model's judgement into fast relevance models for product search.",
    discussion: """
      Example: retort label --model smollm2-135m --input pairs.jsonl --output labels.jsonl
      """,
    version: "0.1.0",
    subcommands: [
      Devices.self, CheckDevice.self, Inspect.self, Tokenize.self, Generate.self, Perplexity.self, Label.self,
      Prompts.self,
      Jobs.self, Merge.self, Eval.self, Embed.self, Report.self, Score.self, Distill.self, Ablate.self,
      Bench.self, Tune.self,
    ])

  /// Prints an error as it describes itself and exits with 1; usage errors exit with 64 as ArgumentParser does.
  static func main() {
    // A closed pipe ends the program through the write error, not through a signal.
    signal(SIGPIPE, SIG_IGN)
    // So does a file that outgrows the limit set for it.
    signal(SIGXFSZ, SIG_IGN)
    do {
      var command = try parseAsRoot()
      do {
        try command.run()
      } catch {
        // What a run that ended early did up to there is worth its profile too.
        try? RunProfile.shared.finish()
        throw error
      }
      try RunProfile.shared.finish()
    } catch let error as RetortError {
      Output.note("error: \(error)")
      Foundation.exit(1)
    } catch {
      exit(withError: error)
    }
  }
}
