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
  @Option(
    help: """
      JSON Lines of JSON strings, or for an encoder of pairs ["query", "title"]; one JSON array a line comes out.
      """)
  var input: String?
  @Option(
    help: "For an encoder: cut to this many tokens, special ones included, the longer text of a pair first.")
  var maxLength: Int?
  @Flag(help: "Print JSON; the output is JSON in any case.")
  var json = false

  func validate() throws {
    if (text == nil) == (input == nil) { throw ValidationError("Give either --text or --input.") }
  }

  func run() throws {
    let encode = try encoder(ModelPath.resolve(model))
    if let text { return Output.write(Tokenize.line(try encode([text]))) }
    let path = input ?? ""
    let file = try MappedFile(path: path)
    var out = ""
    for (index, line) in file.bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
      if line.isEmpty { continue }
      let value = try? JSONSerialization.jsonObject(with: Data(line), options: .fragmentsAllowed)
      let texts = (value as? String).map { [$0] } ?? value as? [String] ?? []
      do {
        out += Tokenize.line(try encode(texts))
      } catch let error as RetortError {
        throw RetortError(
          error.code, error.message, file: path, field: error.field, position: "line \(index + 1)",
          remedy: error.remedy)
      }
      if out.utf8.count > 1 << 16 {
        Output.write(out)
        out = ""
      }
    }
    Output.write(out)
  }

  /// The model's own tokenizer: WordPiece in a folder that has one, with its special tokens around the text.
  private func encoder(_ path: String) throws -> ([String]) throws -> [Int32] {
    let isEncoder = try WordPieceTokenizer.isPresent(inFolder: path)
    let malformed = RetortError(
      .malformedRow, isEncoder ? "neither a JSON string nor a pair of them" : "not a JSON string",
      remedy: "Write one JSON string a line, for example \"red shoes\".")
    if isEncoder {
      let tokenizer = try WordPieceTokenizer(folder: path)
      let length = maxLength ?? .max
      return { texts in
        switch texts.count {
        case 1: try tokenizer.encode(texts[0], maximumLength: length).ids
        case 2: try tokenizer.encode(texts[0], pair: texts[1], maximumLength: length).ids
        default: throw malformed
        }
      }
    }
    let tokenizer = try Tokenizer(VocabularySpec(ModelSource(path: path)))
    guard maxLength == nil else { throw ValidationError("--max-length is for encoders.") }
    return { texts in
      guard texts.count == 1 else { throw malformed }
      return tokenizer.encode(texts[0])
    }
  }

  private static func line(_ ids: [Int32]) -> String {
    "[" + ids.map(String.init).joined(separator: ",") + "]\n"
  }
}
