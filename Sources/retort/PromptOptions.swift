import ArgumentParser
import Basics
import Labelling
import Relevance

extension RelevancePrompt.Reasoning: ExpressibleByArgument {}

/// Options of every command that makes prompts of pairs.
struct PromptOptions: ParsableArguments {
  @Option(help: "The label set: names, gains, definitions; exact, partial, irrelevant by default.")
  var labels: String?
  @Option(help: ArgumentHelp("full reasons first, none names the label at once.", valueName: "full|none"))
  var reasoning: RelevancePrompt.Reasoning = .full

  /// - Throws: what reading the label set throws.
  func prompt() throws -> RelevancePrompt {
    RelevancePrompt(labels: try labels.map { try LabelSet(path: $0) } ?? .standard, reasoning: reasoning)
  }
}

/// Pairs of a file, for measurements.
enum PairRows {
  /// The file's pairs by query, as a job hands them out; rows that are none are named on standard error.
  ///
  /// - Parameter range: numbers of the rows to read, from 0.
  /// - Throws: `malformedFile` where there is no pair; what the reader throws.
  static func byQuery(_ path: String, in range: Range<Int>) throws -> [PairWork] {
    let reader = try PairReader(path: path)
    var pairs: [PairWork] = []
    var rows = 0
    while rows < range.upperBound, let row = try reader.next() {
      if range.contains(rows) {
        switch row {
        case .pair(let pair, let line): pairs.append(PairWork(row: rows, line: line, pair: pair))
        case .error(let error): Output.note("left out: \(error.json)")
        }
      }
      rows += 1
    }
    guard !pairs.isEmpty else {
      throw RetortError(
        .malformedFile, range.lowerBound == 0 ? "the file has no pair" : "no pair is left after the offset",
        file: path, remedy: "Give rows with query and title.")
    }
    return pairs.sorted { ($0.pair.query, $0.row) < ($1.pair.query, $1.row) }
  }
}
