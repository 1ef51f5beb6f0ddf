import Basics
import Foundation

/// The labels of a sequence classifier, in the order of its outputs.
public struct ClassifierLabels: Sendable, Hashable {
  public let names: [String]

  /// Reads `id2label` of a Hugging Face `config.json`; without it, `num_labels` names are `LABEL_0` and so on, two
  /// by default, as transformers has them.
  ///
  /// - Throws: `fileUnavailable`; `malformedFile` where the ids are not 0 to the number of labels less one, or two
  ///   labels share a name.
  public init(huggingFace path: String) throws {
    let config = try JSONFile(path: path)
    guard let named = try config.optionalObject("id2label") else {
      let count = try config.optionalInteger("num_labels") ?? 2
      guard count >= 1, count <= ClassifierLabels.most else {
        throw GGUFFile.malformed(path, "num_labels", "\(count) is not from 1 to \(ClassifierLabels.most)")
      }
      names = (0..<count).map { "LABEL_\($0)" }
      return
    }
    guard !named.isEmpty, named.count <= ClassifierLabels.most else {
      throw GGUFFile.malformed(path, "id2label", "\(named.count) labels, not 1 to \(ClassifierLabels.most)")
    }
    names = try (0..<named.count).map { id in
      guard let name = named[String(id)] as? String else {
        throw GGUFFile.malformed(path, "id2label", "label \(id) has no name")
      }
      return name
    }
    guard Set(names).count == names.count else {
      throw GGUFFile.malformed(path, "id2label", "two labels have the same name")
    }
  }

  private static let most = 1 << 12
}
