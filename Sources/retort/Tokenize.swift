import ArgumentParser
import Basics
import Foundation
import ModelFormats
import Tokenizers
import Transformers

struct Tokenize: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Turns text into token ids.",
    discussion: "Example: retort tokenize --model smollm2-135m --text \"red running shoes\"")

  @Option(help: "A .gguf file, a Hugging Face folder, or a fetched name.")
  var model: String
  @Option(help: "The text; its ids come out as a JSON array.")
  var text: String?
  @Option(help: "JSON Lines of JSON strings; one JSON array a line comes out.")
  var input: String?
  @Flag(help: "Print JSON; the output is JSON in any case.")
  var json = false

  func validate() throws {
    if (text == nil) == (input == nil) { throw ValidationError("Give either --text or --input.") }
  }

  func run() throws {
    let encode = try encoder(ModelPath.resolve(model))
    if let text { return Output.write(Tokenize.line(try encode(text))) }
    let path = input ?? ""
    let file = try MappedFile(path: path)
    var out = ""
    for (index, line) in file.bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
      if line.isEmpty { continue }
      let value = try? JSONSerialization.jsonObject(with: Data(line), options: .fragmentsAllowed)
      guard let value = value as? String else {
        throw RetortError(
          .malformedRow, "not a JSON string", file: path, position: "line \(index + 1)",
          remedy: "Write one JSON string a line, for example \"red shoes\".")
      }
      out += Tokenize.line(try encode(value))
      if out.utf8.count > 1 << 16 {
        Output.write(out)
        out = ""
      }
    }
    Output.write(out)
  }

  /// The model's own tokenizer: WordPiece in a folder that has one, with its special tokens around the text.
  private func encoder(_ path: String) throws -> (String) throws -> [Int32] {
    if try WordPieceTokenizer.isPresent(inFolder: path) {
      let tokenizer = try WordPieceTokenizer(folder: path)
      return { try tokenizer.encode($0, maximumLength: .max).ids }
    }
    let tokenizer = try Tokenizer(VocabularySpec(ModelSource(path: path)))
    return { tokenizer.encode($0) }
  }

  private static func line(_ ids: [Int32]) -> String {
    "[" + ids.map(String.init).joined(separator: ",") + "]\n"
  }
}
