import Basics
import Foundation
import ModelFormats

/// The heads that a student's folder keeps in a file of their own, held to what `retort.json` says.
enum StudentHeads {
  /// Checks the aspects' heads; scores need none of them, but a folder whose files do not belong together is not to be
  /// believed.
  ///
  /// - Parameter width: the encoder's.
  /// - Throws: `malformedFile` naming a tensor that is missing or of another shape; what ``SafetensorsFile`` throws.
  static func check(folder: String, _ description: StudentDescription, width: Int) throws {
    let path = folder + "/" + StudentDescription.headsFileName
    let aspects = description.aspects.count
    guard aspects > 0, FileManager.default.fileExists(atPath: path) else { return }
    let file = try SafetensorsFile(path: path)
    for (name, shape) in shapes(description, aspects: aspects, width: width) {
      guard let tensor = file.tensors[name] else { throw mismatch(path, name, "the tensor is missing") }
      guard tensor.shape == shape else {
        throw mismatch(path, name, "shape \(tensor.shape), not the \(shape) of \(aspects) aspects")
      }
    }
  }

  private static func shapes(_ description: StudentDescription, aspects: Int, width: Int) -> [(String, Shape)]
  {
    switch description.student {
    case .interaction:
      return [("aspect_classifier.weight", [3 * aspects, width]), ("aspect_classifier.bias", [3 * aspects])]
    case .representation:
      let slots: Shape = [aspects * description.slotWidth, width]
      return [
        ("aspect_query.weight", slots), ("aspect_item.weight", slots), ("aspect_scale", [aspects]),
        ("aspect_bias", [aspects]),
      ]
    }
  }

  private static func mismatch(_ path: String, _ name: String, _ message: String) -> RetortError {
    RetortError(
      .malformedFile, message, file: path, field: name,
      remedy: "Put back the files that 'retort distill' wrote together.")
  }
}

/// Numbers that a model gives.
enum ModelOutput {
  /// - Throws: `malformedFile` where a number is not finite: it would go into every score, silently.
  static func check(_ values: [Float], folder: String) throws {
    guard values.allSatisfy(\.isFinite) else {
      throw RetortError(
        .malformedFile, "the model gives a number that is not finite", file: folder,
        remedy: "Its weights are damaged, or too large for this --compute: try f32, or put the model back.")
    }
  }
}
