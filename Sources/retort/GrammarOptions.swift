import ArgumentParser
import Basics
import Generation

/// The options that constrain an answer: at most one of a grammar, a JSON Schema and a regular expression.
struct GrammarOptions: ParsableArguments {
  @Option(help: "A file with a grammar (GBNF) that the answer must match.")
  var grammar: String?
  @Option(help: "A file with a JSON Schema that the answer must match.")
  var jsonSchema: String?
  @Option(help: "A regular expression that the whole answer must match.")
  var regex: String?

  func validate() throws {
    if [grammar, jsonSchema, regex].compactMap(\.self).count > 1 {
      throw ValidationError("Give one of --grammar, --json-schema and --regex.")
    }
  }

  /// The grammar asked for, or `nil` without one.
  ///
  /// - Throws: `fileUnavailable` for a file that cannot be read; what ``Grammar`` throws.
  func read() throws -> Grammar? {
    if let regex { return try Grammar(regex: regex) }
    if let grammar { return try Grammar(gbnf: GrammarOptions.text(grammar), file: grammar) }
    if let jsonSchema { return try Grammar(jsonSchema: GrammarOptions.text(jsonSchema), file: jsonSchema) }
    return nil
  }

  private static func text(_ path: String) throws -> String {
    let file = try MappedFile(path: path)
    guard let text = String(validating: file.bytes, as: UTF8.self) else {
      throw RetortError(
        .malformedFile, "the file is not UTF-8", file: path, remedy: "Save the file as UTF-8.")
    }
    return text
  }
}
