import Basics
import Foundation

/// How a sentence-transformers folder turns hidden states into embeddings: `modules.json`, its pooling module's
/// `config.json`, and `sentence_bert_config.json`.
public struct SentenceRecipe: Sendable, Equatable {
  public enum Pooling: String, Sendable { case cls, mean }

  public var pooling = Pooling.mean
  /// Whether embeddings are unit vectors.
  public var normalizes = false
  /// Tokens that a text is cut to, special ones included; nil where the folder does not say.
  public var maximumLength: Int?

  public init() {}

  /// Reads a folder; one without `modules.json` pools by the mean and does not normalise.
  ///
  /// - Throws: `malformedFile`; `unsupported` naming a module or a kind of pooling that is not implemented.
  public init(folder: String) throws {
    let limits = folder + "/sentence_bert_config.json"
    if FileManager.default.fileExists(atPath: limits) {
      maximumLength = try JSONFile(path: limits).optionalInteger("max_seq_length")
      if let maximumLength, maximumLength < 3 {
        throw GGUFFile.malformed(limits, "max_seq_length", "\(maximumLength) leaves no room for text")
      }
    }
    let path = folder + "/modules.json"
    guard FileManager.default.fileExists(atPath: path) else { return }
    let file = try MappedFile(path: path)
    let data = withExtendedLifetime(file) { Data(file.bytes) }
    guard let modules = (try? JSONSerialization.jsonObject(with: data)) as? [[String: Any]] else {
      throw GGUFFile.malformed(path, "JSON", "expected a list of modules")
    }
    for module in modules {
      let type = module["type"] as? String ?? ""
      let inner = module["path"] as? String ?? ""
      guard !inner.contains(".."), !inner.hasPrefix("/") else {
        throw GGUFFile.malformed(path, "path", "“\(inner)” leaves the folder")
      }
      switch type.split(separator: ".").last {
      case "Transformer": break
      case "Normalize": normalizes = true
      case "Pooling": pooling = try SentenceRecipe.pooling("\(folder)/\(inner)/config.json")
      default:
        throw RetortError(
          .unsupported, "the module “\(type)”", file: path, field: "type",
          remedy: "Use a model of Transformer, Pooling and Normalize.")
      }
    }
  }

  private static func pooling(_ path: String) throws -> Pooling {
    let config = try JSONFile(path: path)
    let named = config.optionalString("pooling_mode").map { [$0] }
    let flags = config.root.filter { $0.key.hasPrefix("pooling_mode_") && ($0.value as? Bool) == true }.map {
      String($0.key.dropFirst("pooling_mode_".count))
    }
    switch named ?? flags {
    case ["cls"], ["cls_token"]: return .cls
    case ["mean"], ["mean_tokens"]: return .mean
    case let other:
      throw RetortError(
        .unsupported, "pooling by “\(other.sorted().joined(separator: ", "))”", file: path,
        field: "pooling_mode",
        remedy: "Use a model that pools by the mean or by its [CLS] token.")
    }
  }
}
